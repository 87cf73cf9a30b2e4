"""The exact screen: what differs, by how much it may, and how that is said."""

import math
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import strategies as st

from pytest_prunecal.judge.screen import EXACT, FLOOR, TIMES, Difference, ruler, screen, told
from pytest_prunecal.study.trace import (
    CORRUPTIONS,
    DATA,
    DENSE,
    FINETUNE,
    PRUNED,
    STAGES,
    STRUCTURE,
    Jitter,
    Trace,
)

TRACE = Trace(
    "cafe",
    {
        DATA: {"test images": "aa", "test labels": "bb"},
        CORRUPTIONS: {"fog 1": 0.5, "snow 1": 0.25},
        DENSE: {"accuracy": 0.97, "ece": 0.02},
        PRUNED: {"logit 0": 12.5, "nll": 0.3},
        STRUCTURE: {"parameters": 1000, "zeros conv1.weight": 10, "sparsity": 0.5},
        FINETUNE: {"loss 1": 2.30259, "rate 1": 0.05, "loss 2": 2.1, "rate 2": 0.05, "steps": 128},
    },
)
JITTER = Jitter({PRUNED: {"logit 0": 1e-4}, FINETUNE: {"loss 1": 1e-3}})


def other(stage, **values):
    stages = {name: dict(found) for name, found in TRACE.stages.items()}
    for name, value in values.items():
        stages[stage][name.replace("_", " ")] = value
    stages[stage] = {name: value for name, value in stages[stage].items() if value is not None}
    return replace(TRACE, stages=stages)


def differences(stage, jitter=JITTER, **values):
    return screen(other(stage, **values), TRACE, jitter)


def test_the_same_is_the_same():
    assert screen(TRACE, TRACE, None) == screen(TRACE, TRACE, JITTER) == ()
    assert ruler(()) == told(()) == ""
    assert (TIMES, FLOOR, EXACT) == (10, 2e-6, 1e-9)


@pytest.mark.parametrize(
    ("stage", "name", "near", "far"),
    [
        (CORRUPTIONS, "fog 1", 0.5 + 1.4e-9, 0.5 + 1.6e-9),  # the processor has no part in pixels
        (FINETUNE, "rate 1", 0.05 + 1.0e-9, 0.05 + 1.1e-9),  # nor in learning rates
        (PRUNED, "logit 0", 12.5009, 12.5011),  # ten times what was seen
        (PRUNED, "nll", 0.3000025, 0.3000027),
        (FINETUNE, "loss 1", 2.3125, 2.3127),
        (FINETUNE, "loss 2", 2.100006, 2.1000065),  # of 1 and of its magnitude
    ],
)
def test_what_float_arithmetic_does_is_no_difference(stage, name, near, far):
    for value in (near, 2 * TRACE.stages[stage][name] - near):
        assert screen(other(stage, **{name: value}), TRACE, JITTER) == ()
    for value in (far, 2 * TRACE.stages[stage][name] - far):
        (found,) = screen(other(stage, **{name: value}), TRACE, JITTER)
        assert (found.stage, found.name, found.measured) == (stage, name, value)
        assert abs(value - found.accepted) > found.allowed > 0


@pytest.mark.parametrize(
    ("stage", "name", "value"),
    [(DATA, "test images", "ac"), (STRUCTURE, "zeros conv1.weight", 11), (FINETUNE, "steps", 127)],
)
def test_digests_and_whole_numbers_are_exact(stage, name, value):
    (found,) = screen(other(stage, **{name: value}), TRACE, replace(JITTER, trace={stage: {name: 5.0}}))
    assert found.allowed == 0


def test_what_is_gone_or_new_differs_but_for_a_metric_of_the_dense_network():
    assert [one.measured for one in differences(PRUNED, nll=None)] == [None]
    assert [one.accepted for one in differences(PRUNED, brier=0.1)] == [None]
    assert differences(DENSE, mine=0.1) == differences(DENSE, ece=None) == ()
    assert str(differences(PRUNED, nll=None)[0]) == "nll 0.3 -> none"


def test_between_two_base_networks_only_data_and_corruptions_are_compared():
    changed = replace(other(PRUNED, nll=9.0), base="beef")
    assert screen(changed, TRACE, JITTER) == ()
    changed = replace(other(CORRUPTIONS, fog_1=0.6), base="beef")
    assert [one.name for one in screen(changed, TRACE, JITTER)] == ["fog 1"]


def test_what_is_no_number_differs_from_what_is_one():
    assert len(differences(FINETUNE, loss_2=math.nan)) == 1
    diverged = other(FINETUNE, loss_2=math.nan)
    assert len(screen(TRACE, diverged, JITTER)) == 1
    assert screen(diverged, other(FINETUNE, loss_2=float("nan")), JITTER) == ()
    endless = other(FINETUNE, loss_2=math.inf)
    assert screen(endless, endless, JITTER) == ()
    assert len(screen(other(FINETUNE, loss_2=-math.inf), endless, JITTER)) == 1
    assert (
        len(differences(FINETUNE, replace(JITTER, trace={FINETUNE: {"loss 2": math.nan}}), loss_2=2.2)) == 1
    )


def test_in_words():
    assert told(differences(FINETUNE, loss_2=2.2)) == "fine-tuning differs from step 2 on (loss 2.1 -> 2.2)"
    assert told(differences(FINETUNE, steps=127)) == "fine-tuning differs: steps 128 -> 127"
    assert told(differences(STRUCTURE, parameters=900)) == "pruning differs: parameters 1000 -> 900"
    several = [
        *differences(PRUNED, nll=0.4),
        *differences(STRUCTURE, parameters=900),
        *differences(FINETUNE, loss_1=9.0),
    ]
    assert told(several) == "pruning differs: nll 0.3 -> 0.4, and 1 more"
    assert ruler(several) == ""
    data = differences(DATA, test_images="ac")
    assert ruler(data) == "the data set differs: test images differ"
    assert told(data) == ""
    fog = differences(CORRUPTIONS, fog_1=0.6, snow_1=0.3)
    assert ruler([*fog, *several]) == "the corrupted images differ: fog 1 0.5 -> 0.6, and 1 more"
    dense = differences(DENSE, ece=0.03)
    assert ruler(dense) == "the evaluation of the base network differs: ece 0.02 -> 0.03"


def test_differences_stand_in_the_order_of_the_cell():
    stages = dict(reversed(TRACE.stages.items()))
    stages[FINETUNE] = {**stages[FINETUNE], "loss 1": 9.0}
    stages[PRUNED] = {**stages[PRUNED], "nll": 9.0}
    found = screen(Trace(TRACE.base, stages), TRACE, JITTER)
    assert [(one.stage, one.name) for one in found] == [(PRUNED, "nll"), (FINETUNE, "loss 1")]
    assert [one.of_ruler for one in (Difference(stage, "x", 1, 2) for stage in STAGES)] == [True] * 3 + [
        False
    ] * 3


values = st.sampled_from(["", "aa", "ab"]) | st.integers(-(10**9), 10**9) | st.floats()
stages = st.dictionaries(st.sampled_from(["a", "loss 1", "steps"]), values, max_size=3)
traces = st.builds(Trace, st.sampled_from(["x", "y"]), st.fixed_dictionaries(dict.fromkeys(STAGES, stages)))
jitters = st.none() | st.builds(
    Jitter, st.dictionaries(st.sampled_from(STAGES), st.dictionaries(st.just("a"), st.floats()))
)


@hypothesis.settings(max_examples=60)
@hypothesis.given(traces, traces, jitters)
def test_any_two_traces_compare(ours, theirs, jitter):
    assert screen(ours, ours, jitter) == ()
    found = screen(ours, theirs, jitter)
    assert bool(ruler(found)) == any(one.of_ruler for one in found)
    assert bool(told(found)) == any(not one.of_ruler for one in found)
