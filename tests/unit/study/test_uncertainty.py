"""How sure a number is: as text, as written into a baseline file, and read back."""

import math
import re

import hypothesis
import pytest
from hypothesis import strategies as st

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import yaml_reader
from pytest_prunecal.study.metric import recorded
from pytest_prunecal.study.metric import written as number
from pytest_prunecal.study.uncertainty import UNKNOWN, Uncertainty, plain, read, rounded, written

errors = st.none() | st.just(0.0) | st.floats(1e-9, 1e6)
uncertainties = st.builds(Uncertainty, errors) | st.builds(
    Uncertainty, errors, st.just(0.0) | st.floats(1e-9, 1e6), st.integers(2, 100)
)


def value_of(text):
    return yaml_reader.parse(f"ece: {text}\n", "f.yaml").mapping()["ece"]


@hypothesis.settings(max_examples=200)
@hypothesis.given(st.floats(-1e4, 1e4) | st.integers(0, 10**9), uncertainties)
def test_what_is_written_reads_back(mean, sure):
    text = written(number(mean), sure.recorded)
    assert read(value_of(text)) == (recorded(mean), sure.recorded)
    assert ("{" in text) == (sure != UNKNOWN)
    assert not re.search(r"\d[eE]", text)


ANY_ERROR = st.none() | st.floats(min_value=0) | st.just(math.nan) | st.floats(0, 1e-9)


@hypothesis.settings(max_examples=300)
@hypothesis.given(
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**300), 10**300),
    st.builds(Uncertainty, ANY_ERROR, ANY_ERROR, st.integers(1, 100)),
)
def test_numbers_and_errors_of_any_size_read_back(mean, sure):
    text = written(number(mean), sure.recorded)
    assert read(value_of(text)) == (recorded(mean), sure.recorded)
    assert sure.recorded.recorded == sure.recorded
    assert len(text) < 500


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (0.0, "0"), (-0.0, "0"), (5e-324, "0"), (1.4e-17, "0"), (1.4e-9, "0.0000000014"),
        (1.25e-12, "0.0000000000012"), (1e16, "1.0e+16"), (1.7976931348623157e308, "1.7e+308"),
    ],
)  # fmt: skip
def test_errors_of_any_size_are_plain(error, text):
    assert plain(error) == text


def test_what_no_file_can_say_is_not_recorded():
    assert Uncertainty(math.nan, math.inf, 3).recorded == UNKNOWN
    assert Uncertainty(0.1, None, 3).recorded == Uncertainty(0.1)
    assert Uncertainty(0.1, 0.2, 1).recorded == Uncertainty(0.1)


@hypothesis.given(uncertainties)
def test_what_is_recorded_is_recorded_once(sure):
    assert sure.recorded.recorded == sure.recorded
    assert Uncertainty(**sure.to_dict()) == sure


@hypothesis.given(st.floats(1e-9, 1e9))
def test_two_digits_are_kept(error):
    assert rounded(error) == pytest.approx(error, rel=0.05)
    assert float(plain(error)) == rounded(error)


@pytest.mark.parametrize(
    ("sure", "line", "text"),
    [
        (UNKNOWN, "0.9850", ""),
        (Uncertainty(0.00432), "{mean: 0.9850, se: 0.0043}", "±0.0043"),
        (
            Uncertainty(0.00432, 0.0031, 3),
            "{mean: 0.9850, se: 0.0043, sd: 0.0031, seeds: 3}",
            "±0.0043 (sd 0.0031 over 3 seeds)",
        ),
        (
            Uncertainty(None, 1234.0, 2),
            "{mean: 0.9850, sd: 1200, seeds: 2}",
            "(sd 1200 over 2 seeds)",
        ),
        (Uncertainty(0.0), "{mean: 0.9850, se: 0}", "±0"),
        (Uncertainty(0.0999), "{mean: 0.9850, se: 0.1}", "±0.1"),
    ],
)
def test_as_text(sure, line, text):
    assert written("0.9850", sure) == line
    assert str(sure) == text


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("{se: 0.1}", 1, "ece has no mean; write a number, or {mean: 0.9850, se: 0.0043}"),
        ("{}", 1, "ece has no mean"),
        ("{mean: 0.5, sd: 0.1}", 1, "ece needs sd and seeds together"),
        ("{mean: 0.5, seeds: 3}", 1, "ece needs sd and seeds together"),
        ("{mean: 0.5, error: 0.1}", 1, "unknown key 'error' in ece; known are first, mean, sd, se, seeds"),
        ("\n  mean: 0.5\n  se: -0.1", 3, "ece.se is -0.1; it must lie in [0, inf]"),
        ("\n  mean: 0.5\n  se: .nan", 3, "ece.se is .nan, which is not a finite number"),
        ("\n  mean: high", 2, "ece.mean is 'high', which is not a number"),
        ("{mean: 0.5, sd: 0.1, seeds: 1000000000}", 1, "it must lie in [2, 1000]"),
        ("{mean: 0.5, sd: -1, seeds: 2}", 1, "ece.sd is -1; it must lie in"),
        ("{mean: 0.5, sd: 0.1, seeds: 1}", 1, "ece.seeds is 1; it must lie in [2, 1000]"),
        ("{mean: 0.5, sd: 0.1, seeds: 2.5}", 1, "ece.seeds is 2.5; it must be a whole number"),
        ("{mean: 0.5, first: 0.5}", 1, "ece.first is one of several seeds, and ece has one; leave it out"),
        (
            "\n  mean: 0.5\n  sd: 0.01\n  seeds: 3\n  first: 0.6",
            5,
            "ece.first 0.6 is none of 3 numbers with the mean 0.5 and the deviation 0.01; measure the cell",
        ),
        ("{mean: 0.5, sd: 0.1, seeds: 3, first: .inf}", 1, "ece.first is .inf, which is not a finite number"),
        ("{mean: [0.5]}", 1, "ece.mean must be a single value"),
        ("[0.5]", 1, "ece must be a single value"),
        ("±0.1", 1, "'±0.1', which is not a number"),
    ],
)
def test_mistakes_are_named_where_they_stand(text, line, says):
    with pytest.raises(PrunecalError) as error:
        read(value_of(text))
    assert str(error.value).startswith(f"f.yaml:{line}: "), str(error.value)
    assert says in str(error.value)
    assert len(str(error.value).splitlines()) == 1
