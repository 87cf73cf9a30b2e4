"""Results by image held against the baseline file that names them."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

from pytest_prunecal.baseline import file as baselines
from pytest_prunecal.baseline import images
from pytest_prunecal.baseline.agreement import check, edited
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.evaluation.encoded import decode, encode
from pytest_prunecal.study.image_results import Columns, ImageResults
from pytest_prunecal.study.metric import CORRUPTED, METRICS, Metric, known

BASELINES = Path(__file__).parents[3] / "baselines" / "quick"
TEXT = """\
prunecal: 1
model: net
protocol: {name: quick, fingerprint: 5b1c9e02}
cells:
  dense:
    accuracy: {mean: 0.7500, se: 0.2}
    nll: {mean: 0.6000, se: 0.1}
    macs: 100
  weight-0.5:
    accuracy: {mean: 0.5000, se: 0.2, sd: 0.25, seeds: 3}
    ece: {mean: 0.1000, se: 0.02, sd: 0.01, seeds: 3}
    nll: {mean: 1.0000, se: 0.1, sd: 0.1, seeds: 3}
    macs: {mean: 50, sd: 2.1, seeds: 3}
"""
BASE = {"accuracy": torch.tensor([1.0, 1, 1, 0]), "nll": torch.tensor([0.2, 0.2, 0.5, 1.5])}
CELL = {
    "accuracy": torch.tensor([1.0, 2 / 3, 1 / 3, 0]),
    "ece": torch.tensor([0.9, -0.5, 0.1, -0.2]),
    "nll": torch.tensor([0.1, 0.9, 1.2, 1.8]),
}
DENSE = ImageResults(
    {"accuracy": 0.75, "nll": 0.6, "macs": 100.0},
    {"accuracy": 0.75, "nll": 0.6, "macs": 100.0},
    "cafe",
    {"accuracy": 0.75, "nll": 0.6},
    encode(BASE),
    encode(BASE),
)
WEIGHT = ImageResults(
    {"accuracy": 0.5, "ece": 0.1, "nll": 1.00004, "macs": 50.0},
    {"accuracy": 0.75, "ece": 0.11, "nll": 0.9, "macs": 52.0},
    "cafe",
    {"accuracy": 0.75, "nll": 0.6},
    encode(CELL),
    DENSE.base_cell,
    {"accuracy": 0.25, "nll": 0.1},
    3,
)


def checked(rows=METRICS, text=TEXT, dense=DENSE, **changes):
    found = {"dense": dense, "weight-0.5": replace(WEIGHT, **changes)}
    check(found, baselines.parse(text, "f.yaml"), rows, "f.zip")


def refused(says, about="f.yaml:9 about weight-0.5", **changes):
    with pytest.raises(PrunecalError) as error:
        checked(**changes)
    message = str(error.value)
    assert message.startswith(f"f.zip: does not agree with {about}: {says}; restore ")
    assert len(message.splitlines()) == 1


def column(name, *values):
    return encode(CELL | {name: torch.tensor(values)})


def test_what_agrees():
    checked()
    checked(seeds=1, change_sd={})  # as files from before these were written down read
    checked(first={})


@pytest.mark.parametrize("file", sorted(BASELINES.glob("*.yaml")), ids=lambda file: file.name)
def test_the_shipped_files_agree(file):
    found = baselines.read(file, file.name)
    content = (BASELINES / found.images.file).read_bytes()
    check(images.load(content, "f.zip"), found, METRICS, "f.zip")


def test_the_first_seed_is_one_that_mean_and_deviation_allow():
    # Of three seeds none is farther from their mean than 2 / sqrt(3) deviations.
    reach = 0.255 * 2 / math.sqrt(3)
    for sign in (1, -1):
        checked(first={"accuracy": 0.5 + sign * reach})
        far = 0.5 + sign * (reach + 0.001)
        refused(
            f"its first seed has accuracy {far:.6g}, which none of 3 with the mean 0.5 and the deviation "
            "0.25 can have",
            first={"accuracy": far},
        )
    checked(first={"macs": 50 + 2.15 * 2 / math.sqrt(3)})
    with pytest.raises(PrunecalError, match="its first seed has macs 54, which none of 3 with the mean 50 "):
        checked(first={"macs": 54.0})
    with pytest.raises(PrunecalError, match="its first seed has nll nan"):
        checked(first={"nll": math.nan})


def test_one_seed_is_its_own_mean():
    refused(
        "its first seed has accuracy 0.5, which none of 1 with the mean 0.75 and the deviation 0 can have",
        about="f.yaml:5 about dense",
        dense=replace(DENSE, first={"accuracy": 0.5}),
    )


@pytest.mark.parametrize(("seeds", "says"), [(2, "2 seeds"), (1, "1 seed"), (10**9, "1000000000 seeds")])
def test_as_many_seeds_as_the_file_says(seeds, says):
    refused(f"it is of {says}, not of 3", seeds=seeds)


@pytest.mark.parametrize("sd", [-0.1, math.nan, math.inf])
def test_deviations_are_deviations(sd):
    refused(f"its change of nll has the deviation {sd:g}", change_sd={"nll": sd})


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("nll", (1.0, 1.0, 1.0, 1.5), "what the images add to nll averages to 1.125, not to 1.00004"),
        ("accuracy", (1.0, 1.0, 0.0, 0.5), "what the images add to accuracy averages to 0.625, not to 0.5"),
        ("accuracy", (2.0, 0.0, 0.0, 0.0), "what the images add to accuracy goes from 0 to 2, beyond [0, 1]"),
        ("nll", (2.0, 2.0, 2.0, -2.0), "what the images add to nll goes from -2 to 2, beyond [0, inf]"),
        ("ece", (0.0, 0.0, 0.0, -1.5), "what the images add to ece goes from -1.5 to 0, beyond [-1, 1]"),
    ],
)
def test_columns_are_in_range_and_average_to_the_accepted_numbers(name, values, says):
    refused(says, cell=column(name, *values))


@pytest.mark.parametrize("high", [0x7C, 0x7E, 0xFC])  # infinity, not a number, minus infinity
def test_columns_are_finite(high):
    content = bytearray(WEIGHT.cell.content)
    content[4] = high
    with pytest.raises(PrunecalError, match=r"about weight-0\.5: what the images add to ece is not finite; "):
        checked(cell=Columns(WEIGHT.cell.names, bytes(content)))


def test_the_base_network_is_held_against_itself_and_the_dense_cell():
    worse = {"base_metrics": {"accuracy": 0.25, "nll": 0.6}}
    with pytest.raises(PrunecalError, match="of its base network, what the images add to accuracy averages"):
        checked(**worse, base_cell=encode(BASE))
    other = encode(BASE | {"accuracy": torch.tensor([1.0, 0, 0, 0])})
    with pytest.raises(
        PrunecalError,
        match=r"of its base network, accuracy is 0\.25, that of the dense cell 0\.75; restore",
    ):
        checked(**worse, base_cell=other)
    checked(**worse, base_cell=other, base="beef")  # a base network of which the file says nothing
    slightly = {"base_metrics": {"accuracy": 0.75, "nll": 0.6005}}
    checked(**slightly, base_cell=encode(BASE | {"nll": torch.tensor([0.2, 0.2, 0.5, 1.502])}))


def test_numbers_that_a_person_edited_are_not_the_results_any_more():
    text = TEXT.replace("nll: {mean: 1.0000", "nll: {mean: 0.9000")
    found = baselines.parse(text, "f.yaml").cells["weight-0.5"]
    assert edited(WEIGHT, found, METRICS)
    checked(text=text, first={"accuracy": -7.0}, cell=column("nll", 9.0, 9.0, 9.0, 9.0))
    # A count has no results by image; but its first seed stands for nothing any more.
    text = TEXT.replace("macs: {mean: 50", "macs: {mean: 70")
    assert not edited(WEIGHT, baselines.parse(text, "f.yaml").cells["weight-0.5"], METRICS)
    checked(text=text)


def test_cells_that_the_file_does_not_have_decide_nothing():
    check({"weight-0.7": replace(WEIGHT, seeds=99)}, baselines.parse(TEXT, "f.yaml"), METRICS, "f.zip")


def test_a_metric_of_the_users_own_may_go_where_it_likes():
    mine = Metric("mine", higher_is_better=True, where=CORRUPTED, paired=True, bounds=(0, 1))
    content = encode(CELL | {"mine": torch.tensor([-3.0, 1, 1, 2])})
    text = TEXT.replace("    macs: {mean: 50", "    mine: 0.2500\n    macs: {mean: 50")
    metrics = WEIGHT.metrics | {"mine": 0.25}
    checked(known([mine]), text, cell=content, metrics=metrics)
    checked(text=text, cell=content, metrics=metrics)  # or is not registered any more
    with pytest.raises(PrunecalError, match=r"what the images add to mine averages to 0\.5, not to 0\.25"):
        checked(
            known([mine]), text, cell=encode(CELL | {"mine": torch.tensor([0.0, 1, 1, 0])}), metrics=metrics
        )


def test_numbers_too_large_for_the_encoding_are_not_averaged():
    text = TEXT.replace("nll: {mean: 1.0000", "nll: {mean: 250000.0000")
    metrics = WEIGHT.metrics | {"nll": 250000.0}
    checked(text=text, cell=column("nll", 1e6, 0.0, 0.0, 0.0), metrics=metrics, first={})


@hypothesis.given(
    st.lists(st.floats(0, 5e4, width=32), min_size=1, max_size=50)
    | st.lists(st.floats(0, 2**-10, width=32), min_size=1, max_size=50)
)
def test_whatever_was_encoded_averages_to_itself(values):
    mean = statistics.fmean(values)
    text = f"{TEXT.partition('cells:')[0]}cells:\n  dense:\n    nll: {mean:.4f}\n"
    content = encode({"nll": torch.tensor(values)})
    assert content.values("nll") == tuple(decode(content)["nll"].tolist())
    numbers = {"nll": mean}
    found = ImageResults(numbers, numbers, "cafe", numbers, content, content)
    check({"dense": found}, baselines.parse(text, "f.yaml"), METRICS, "f.zip")


anything = st.dictionaries(st.sampled_from(["accuracy", "ece", "nll", "macs", "mine"]), st.floats())
names = st.sampled_from([("accuracy",), ("nll", "ece"), ("mine", "accuracy")])


@st.composite
def columns(draw):
    chosen = draw(names)
    return Columns(chosen, draw(st.binary(min_size=4 * len(chosen), max_size=4 * len(chosen))))


@hypothesis.given(
    st.builds(
        ImageResults,
        anything | st.just(WEIGHT.metrics),
        anything,
        st.sampled_from(["cafe", "beef"]),
        anything,
        columns(),
        columns(),
        anything,
        st.integers(1, 10**30),
    )
)
def test_whatever_it_is_it_agrees_or_is_refused_in_one_sentence(found):
    try:
        check({"dense": DENSE, "weight-0.5": found}, baselines.parse(TEXT, "f.yaml"), METRICS, "f.zip")
    except PrunecalError as error:
        message = str(error)
    else:
        return
    assert message.startswith("f.zip: does not agree with f.yaml:")
    assert len(message.splitlines()) == 1
