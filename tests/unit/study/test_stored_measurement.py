"""What comes out of the store: a measurement as it was, or nothing that could be none."""

from __future__ import annotations

import base64
import copy
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prunecal.study.image_results import Columns, ImageResults
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.stored_measurement import measurement_of
from pytest_prunecal.study.stored_trace import jitter_of
from pytest_prunecal.study.trace import STAGES, Jitter, Trace
from pytest_prunecal.study.uncertainty import Uncertainty

COUNTS = {"parameters": [4, 4, 8], "macs": [70, 70, 70], "bytes": [900, 900, 900]}
NUMBERS = dict.fromkeys(METRICS, 0.5) | {"parameters": 5, "macs": 70, "bytes": 900}
CONTENT = bytes([0x3C, 0x38, 0, 0])
EACH = {name: [0.25, 0.75, 0.5] for name in METRICS} | COUNTS
STAGED = {
    "data": {"images and labels": "beef"},
    "corruptions": {"fog 1": 0.25},
    "dense": {"accuracy": 0.75, "nll": "inf"},
    "pruned": {"logit 0": -0.5},
    "structure": {"parameters": 4, "sparsity": 0.25},
    "finetune": {"loss 1": 0.5, "rate 1": 0.05, "steps": 128},
}
TRACE, JITTER = Trace("abc", STAGED), Jitter({"dense": {"accuracy": 1e-8}}, {"accuracy": [0.0, -0.001]})
MEASUREMENT = Measurement(
    NUMBERS,
    {"fog": {"1": {"accuracy": 0.5, "nll": math.inf}}},
    {"seed": 1, "device": "cpu", "seconds": 0.25, "seeds": 3},
    ("a layer was kept alive",),
    {"accuracy": Uncertainty(0.1), "nll": Uncertainty(0.1, 0.2, 3, 0.25), "mpc": Uncertainty()},
    ImageResults(
        {name: float(value) for name, value in NUMBERS.items()},
        {name: [*map(float, values)] for name, values in EACH.items()},
        "abc",
        {"accuracy": 0.75},
        Columns(("accuracy",), CONTENT),
        Columns(("accuracy",), CONTENT),
        {"accuracy": 0.125},
        TRACE,
        JITTER,
    ),
    each=EACH,
    trace=TRACE,
    jitter=JITTER,
)


def stored(found):
    return json.loads(json.dumps(found.to_dict()))


def test_they_are_read_back_as_they_were():
    assert measurement_of(stored(MEASUREMENT), METRICS) == MEASUREMENT
    assert list(measurement_of(stored(MEASUREMENT), METRICS).trace.stages) == [*STAGES]
    dense = Trace("abc", {stage: STAGED[stage] for stage in ("data", "corruptions", "dense", "structure")})
    bare = Measurement(NUMBERS, trace=dense)
    assert measurement_of(stored(bare), METRICS) == bare
    bare = Measurement(NUMBERS)
    assert measurement_of(stored(bare), METRICS) == bare
    unfinished = Measurement({name: NUMBERS[name] for name, one in METRICS.items() if not one.finished})
    assert unfinished.metrics.keys() == METRICS.keys() - {"bytes", "int8"}
    assert measurement_of(stored(unfinished), METRICS) == unfinished


def columns(content, names=("accuracy",)):
    return {"names": list(names), "content": base64.b64encode(content).decode()}


FORGED = [
    ("metrics.accuracy", math.nan),
    ("metrics.accuracy", math.inf),
    ("metrics.accuracy", -0.75),
    ("metrics.accuracy", 1.1),
    ("metrics.accuracy", True),
    ("metrics.accuracy", "0.5"),
    ("metrics.accuracy", None),
    ("metrics.accuracy", 0.25),  # not what the results by image say
    ("metrics.accuracy", ...),
    ("metrics.f1", 0.5),
    ("metrics.parameters", 5.5),
    ("metrics.parameters", 10**400),
    ("metrics", []),
    ("metrics", ...),
    ("more", 1),
    ("corrupted", None),
    ("corrupted.fog.1.accuracy", math.nan),
    ("corrupted.fog.1.accuracy", math.inf),
    ("corrupted.fog.1.nll", -1),
    ("corrupted.fog.1.f1", 0.5),
    ("corrupted.fog.1", 0.5),
    ("provenance.seed", math.nan),
    ("provenance.seed", [1]),
    ("provenance", "quick"),
    ("warnings", "one"),
    ("warnings", [1]),
    ("uncertainty.accuracy.se", math.nan),
    ("uncertainty.accuracy.se", math.inf),
    ("uncertainty.accuracy.se", -0.1),
    ("uncertainty.accuracy.sd", "0.1"),
    ("uncertainty.accuracy.seeds", 0),
    ("uncertainty.accuracy.seeds", 1.5),
    ("uncertainty.accuracy.more", 1),
    ("uncertainty.f1", {"se": None, "sd": None, "seeds": 1}),
    ("by_image", {}),
    ("by_image.metrics.accuracy", 0.25),
    ("by_image.each.accuracy", [0.25, 0.75, 0.25]),
    ("by_image.each.accuracy", ...),
    ("by_image.trace.base", "abd"),
    ("by_image.trace", None),
    ("by_image.jitter.metrics.accuracy", [0.0, 0.0]),
    ("by_image.jitter", None),
    ("by_image.base", None),
    ("by_image.base_metrics.accuracy", -1),
    ("by_image.base_metrics.f1", 0.5),
    ("by_image.change_sd.accuracy", -1),
    ("by_image.change_sd.nll", 0.1),
    ("by_image.cell.content", "%%%%"),
    ("by_image.cell", columns(CONTENT[:3])),
    ("by_image.cell", columns(CONTENT[:2])),
    ("by_image.cell", columns(CONTENT, ())),
    ("by_image.cell", columns(CONTENT, ("accuracy", "accuracy"))),
    ("by_image.cell", columns(CONTENT, ("f1",))),
    ("by_image.cell", columns(bytes([0x7C, 0x38, 0, 0]))),
    ("by_image.cell", columns(bytes([0x3C, 0xFF, 0, 0]))),
    ("each", None),
    ("each", {}),
    ("each", {"accuracy": [0.25, 0.75, 0.5]}),
    ("each.accuracy", [0.25, 0.75, 0.25]),
    ("each.accuracy", [0.5]),
    ("each.accuracy", [2.5, -1.5, 0.5]),
    ("each.accuracy", [math.nan, 0.5, 0.5]),
    ("each.accuracy", ["0.5", 0.5, 0.5]),
    ("each.accuracy", []),
    ("each.accuracy", 0.5),
    ("each.f1", [0.5, 0.5, 0.5]),
    ("each.parameters", [4.5, 4.5, 6]),
    ("provenance.seeds", 2),
    ("provenance.seeds", ...),
    ("uncertainty.nll.first", 0.75),
    ("uncertainty.nll.first", "0.25"),
    ("uncertainty.nll.first", math.nan),
    ("uncertainty.nll.first", ...),
    ("trace", None),
    ("trace", {}),
    ("trace.base", 1),
    ("trace.base", "a" * 2000),
    ("trace.stages", []),
    ("trace.stages.pruned", ...),
    ("trace.stages.data", ...),
    ("trace.stages.more", {}),
    ("trace.stages.data.images and labels", 1),
    ("trace.stages.corruptions.fog 1", 1.5),
    ("trace.stages.corruptions.fog 1", "0.5"),
    ("trace.stages.corruptions", {}),
    ("trace.stages.dense.accuracy", math.nan),
    ("trace.stages.dense.accuracy", None),
    ("trace.stages.dense.accuracy", True),
    ("trace.stages.finetune.loss 1", math.inf),
    ("trace.stages.finetune.steps", 10**30),
    ("trace.stages.finetune.steps", 10**400),
    ("trace.stages.structure.parameters", "4" * 2000),
    ("jitter", {}),
    ("jitter.trace.dense.accuracy", -1e-8),
    ("jitter.trace.dense.accuracy", math.nan),
    ("jitter.trace.dense", []),
    ("jitter.trace.more", {}),
    ("jitter.metrics.accuracy", []),
    ("jitter.metrics.accuracy", [math.inf, 0.0]),
    ("jitter.metrics.nll", [0.0]),
    ("reused", 1),
    ("reused", ...),
]
"""A place in a stored measurement and what somebody put there; `...` takes it away."""


def forged(found, place, value):
    data = copy.deepcopy(stored(found))
    *path, last = place.split(".")
    target = data
    for part in path:
        target = target[part]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return data


@pytest.mark.parametrize(("place", "value"), FORGED)
def test_what_can_be_no_measurement_is_refused(place, value):
    with pytest.raises((ValueError, TypeError, ArithmeticError)):
        measurement_of(forged(MEASUREMENT, place, value), METRICS)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([place for place, _ in FORGED]), ANYTHING)
def test_whatever_stands_anywhere_only_finite_numbers_in_range_get_through(place, value):
    try:
        found = measurement_of(forged(MEASUREMENT, place, value), METRICS)
    except (ValueError, TypeError, ArithmeticError, LookupError):
        return
    assert found.metrics == NUMBERS
    for sure in found.uncertainty.values():
        assert all(each is None or 0 <= each < math.inf for each in (sure.se, sure.sd))
        assert sure.seeds >= 1
    assert set(map(type, found.provenance.values())) <= {str, int, float}
    assert all(len(values) == 3 and all(map(math.isfinite, values)) for values in found.each.values())
    if found.trace:
        for values in found.trace.stages.values():
            assert all(isinstance(one, str) or math.isfinite(one) for one in values.values())


@given(st.sampled_from([place[7:] for place, _ in FORGED if place.startswith("jitter.")]), ANYTHING)
def test_whatever_stands_in_a_jitter_only_deviations_get_through(place, value):
    try:
        found = jitter_of(forged(JITTER, place, value))
    except (ValueError, TypeError, ArithmeticError, LookupError):
        return
    assert all(0 <= one < math.inf for values in found.trace.values() for one in values.values())
    assert len({len(values) for values in found.metrics.values()}) <= 1
