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
from pytest_prunecal.lab.evaluation.encoded import encode
from pytest_prunecal.study.image_results import Columns, ImageResults
from pytest_prunecal.study.metric import CORRUPTED, METRICS, Metric, known
from pytest_prunecal.study.trace import STAGES, Jitter, Trace

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
    accuracy: {mean: 0.5000, se: 0.2, sd: 0.25, seeds: 3, first: 0.7500}
    ece: {mean: 0.1000, se: 0.02, sd: 0.01, seeds: 3}
    nll: {mean: 1.0000, se: 0.1, sd: 0.1, seeds: 3}
    macs: {mean: 50, sd: 2.0, seeds: 3}
"""
BASE = {"accuracy": torch.tensor([1.0, 1, 1, 0]), "nll": torch.tensor([0.2, 0.2, 0.5, 1.5])}
CELL = {
    "accuracy": torch.tensor([1.0, 2 / 3, 1 / 3, 0]),
    "ece": torch.tensor([0.9, -0.5, 0.1, -0.2]),
    "nll": torch.tensor([0.1, 0.9, 1.2, 1.8]),
}
DENSE = ImageResults(
    {"accuracy": 0.75, "nll": 0.6, "macs": 100.0},
    {"accuracy": [0.75], "nll": [0.6], "macs": [100.0]},
    "cafe",
    {"accuracy": 0.75, "nll": 0.6},
    encode(BASE),
    encode(BASE),
)
EACH = {
    "accuracy": [0.75, 0.5, 0.25],
    "ece": [0.11, 0.1, 0.09],
    "nll": [0.90004, 1.00004, 1.10004],
    "macs": [52.0, 48.0, 50.0],
}
TRACE = Trace(
    "cafe",
    {
        "data": {"images and labels": "beef"},
        "corruptions": {"fog 1": 0.5},
        "dense": {"accuracy": 0.7500001, "nll": 0.6, "mpc": 0.1},
        "pruned": {"nll": 2.0},
        "structure": {"macs": 52, "zeros a": 3},
        "finetune": {"steps": 128},
    },
)
WEIGHT = ImageResults(
    {"accuracy": 0.5, "ece": 0.1, "nll": 1.00004, "macs": 50.0},
    EACH,
    "cafe",
    {"accuracy": 0.75, "nll": 0.6},
    encode(CELL),
    DENSE.base_cell,
    {"accuracy": 0.25, "nll": 0.1},
    TRACE,
    Jitter({"dense": {"nll": 1e-8}}, {"accuracy": [0.25, -0.25], "nll": [0.0, 1e-3]}),
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


def firsts(**numbers):
    """As a file reads from before each seed was written down; the YAML then has no first seed's either."""
    return {
        "each": {name: [number] for name, number in numbers.items()},
        "text": TEXT.replace(", first: 0.7500", ""),
        "trace": None,
        "jitter": None,
    }


def test_what_agrees():
    checked()
    checked(change_sd={})
    checked(each={}, trace=None, jitter=None)
    checked(**firsts(accuracy=0.75, nll=0.9), change_sd={"nll": 0.1})


@pytest.mark.parametrize("file", sorted(BASELINES.glob("*.yaml")), ids=lambda file: file.name)
def test_the_shipped_files_agree(file):
    found = baselines.read(file, file.name)
    content = (BASELINES / found.images.file).read_bytes()
    check(images.load(content, "f.zip"), found, METRICS, "f.zip")


def test_the_first_seed_is_one_that_mean_and_deviation_allow():
    # Of three seeds none is farther from their mean than 2 / sqrt(3) deviations.
    reach = 0.255 * 2 / math.sqrt(3)
    for sign in (1, -1):
        checked(**firsts(accuracy=0.5 + sign * reach))
        far = 0.5 + sign * (reach + 0.001)
        refused(
            f"its first seed has accuracy {far:.6g}, which none of 3 with the mean 0.5 and the deviation "
            "0.25 can have",
            **firsts(accuracy=far),
        )
    checked(**firsts(macs=50 + 2.05 * 2 / math.sqrt(3)))
    with pytest.raises(PrunecalError, match="its first seed has macs 54, which none of 3 with the mean 50 "):
        checked(**firsts(macs=54.0))
    with pytest.raises(PrunecalError, match="its first seed has nll nan"):
        checked(**firsts(nll=math.nan))


def test_the_first_seed_is_the_yardstick_that_people_reviewed():
    for each in ([0.5, 0.75, 0.25], [0.5]):
        refused(
            "its first seed has accuracy 0.5, not 0.75",
            each=EACH | {"accuracy": each},
            trace=None,
            jitter=None,
        )


def test_one_seed_is_its_own_mean():
    refused(
        "its first seed has accuracy 0.5, which none of 1 with the mean 0.75 and the deviation 0 can have",
        about="f.yaml:5 about dense",
        dense=replace(DENSE, each={"accuracy": [0.5]}),
    )


@pytest.mark.parametrize("seeds", [2, 4, 300])
def test_as_many_seeds_as_the_file_says(seeds):
    refused(f"it has nll under {seeds} seeds, not under 3", each={"nll": [1.00004] * seeds}, jitter=None)


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("nll", [0.9, 1.0, 1.0], "in the mean, not 1"),
        ("nll", [0.9, 1.0, 1.1002], "in the mean, not 1"),
        ("macs", [52.0, 48.0, 52.0], "in the mean, not 50"),
        ("nll", [1.00004, 1.00004, 1.00004], "with the deviation 0, not 0.1"),
        ("nll", [0.94004, 1.00004, 1.06004], "with the deviation 0.06, not 0.1"),
        ("ece", [0.1, 0.1, 0.1], "with the deviation 0, not 0.01"),
        ("nll", [1.00004, 1e308, 1e308], "beyond any mean"),
        ("nll", [1.00004, -1e300, 1e300], "not 1"),
    ],
)
def test_all_seeds_together_are_what_people_reviewed(name, values, says):
    with pytest.raises(PrunecalError) as error:
        checked(each={"accuracy": EACH["accuracy"], name: values}, trace=None, jitter=None)
    message = str(error.value)
    assert f"weight-0.5: its 3 seeds have {name} " in message
    assert says in message


def traced(stage, **values):
    return replace(TRACE, stages=TRACE.stages | {stage: TRACE.stages[stage] | values})


def test_a_trace_tells_what_stands_elsewhere():
    refused("its trace has macs 51, its first seed 52", trace=traced("structure", macs=51))
    refused("its trace has nll 0.7 of its base network, not 0.6", trace=traced("dense", nll=0.7))
    refused("its trace has nll inf of its base network, not 0.6", trace=traced("dense", nll="inf"))
    checked(trace=traced("dense", mpc=0.9))  # corrupted images may be of another source
    checked(trace=replace(traced("dense", nll=0.7), base="beef"))  # of another seed's base network


def test_a_jitter_ends_where_a_metric_can_be():
    checked(jitter=Jitter({}, {"accuracy": [0.25, -0.75]}))
    for name, moved, ended in (
        ("accuracy", 0.3, "1.05, beyond [0, 1]"),
        ("accuracy", -0.8, "-0.05, beyond [0, 1]"),
        ("nll", math.inf, "inf, beyond [0, inf]"),
        ("nll", math.nan, "nan, beyond [0, inf]"),
        ("brier", 0.0, "nan, beyond [0, 2]"),  # it has no such number
    ):
        refused(f"a repeat has {name} {ended}", jitter=Jitter({}, {name: [0.0, moved]}))
    for moved in (-1e-9, math.inf, math.nan):
        refused(f"its jitter of nll in dense is {moved:g}", jitter=Jitter({"dense": {"nll": moved}}))


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
    worse = {"base_metrics": {"accuracy": 0.25, "nll": 0.6}, "trace": None}
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
    checked(text=text, each={"accuracy": [-7.0]}, cell=column("nll", 9.0, 9.0, 9.0, 9.0))
    # A count has no results by image; but its first seed stands for nothing any more.
    text = TEXT.replace("macs: {mean: 50", "macs: {mean: 70")
    assert not edited(WEIGHT, baselines.parse(text, "f.yaml").cells["weight-0.5"], METRICS)
    checked(text=text)


def test_cells_that_the_file_does_not_have_decide_nothing():
    check(
        {"weight-0.7": replace(WEIGHT, each={"nll": [1.0] * 99})},
        baselines.parse(TEXT, "f.yaml"),
        METRICS,
        "f.zip",
    )


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
    checked(text=text, cell=column("nll", 1e6, 0.0, 0.0, 0.0), metrics=metrics, each={}, jitter=None)


@hypothesis.given(
    st.lists(st.floats(0, 5e4, width=32), min_size=1, max_size=50)
    | st.lists(st.floats(0, 2**-10, width=32), min_size=1, max_size=50)
)
def test_whatever_was_encoded_averages_to_itself(values):
    mean = statistics.fmean(values)
    text = f"{TEXT.partition('cells:')[0]}cells:\n  dense:\n    nll: {mean:.4f}\n"
    content = encode({"nll": torch.tensor(values)})
    numbers = {"nll": mean}
    found = ImageResults(numbers, {"nll": [mean]}, "cafe", numbers, content, content)
    check({"dense": found}, baselines.parse(text, "f.yaml"), METRICS, "f.zip")


some = st.sampled_from(["accuracy", "ece", "nll", "macs", "mine"])
anything = st.dictionaries(some, st.floats())
lists = st.dictionaries(some, st.lists(st.floats(), min_size=1, max_size=4))
stages = st.dictionaries(some, st.floats() | st.integers() | st.text(max_size=3))
names = st.sampled_from([("accuracy",), ("nll", "ece"), ("mine", "accuracy")])


@st.composite
def columns(draw):
    chosen = draw(names)
    return Columns(chosen, draw(st.binary(min_size=4 * len(chosen), max_size=4 * len(chosen))))


@hypothesis.given(
    st.builds(
        ImageResults,
        anything | st.just(WEIGHT.metrics),
        lists | st.just(EACH),
        st.sampled_from(["cafe", "beef"]),
        anything,
        columns(),
        columns(),
        anything,
        st.none()
        | st.builds(
            Trace, st.sampled_from(["cafe", "beef"]), st.fixed_dictionaries(dict.fromkeys(STAGES, stages))
        ),
        st.none() | st.builds(Jitter, st.dictionaries(st.sampled_from(STAGES), anything), lists),
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
