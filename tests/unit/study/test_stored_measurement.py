"""What comes out of the store: a measurement or pairing as it was, or nothing that could be neither."""

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
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.stored_measurement import measurement_of, pairing_of
from pytest_prunecal.study.uncertainty import Uncertainty

NUMBERS = dict.fromkeys(METRICS, 0.5) | {"parameters": 5, "macs": 70}
CONTENT = bytes([0x3C, 0x38, 0, 0])
MEASUREMENT = Measurement(
    NUMBERS,
    {"fog": {"1": {"accuracy": 0.5, "nll": math.inf}}},
    {"seed": 1, "device": "cpu", "seconds": 0.25},
    ("a layer was kept alive",),
    {"accuracy": Uncertainty(0.1), "nll": Uncertainty(0.1, 0.2, 3), "mpc": Uncertainty()},
    ImageResults(
        {name: float(value) for name, value in NUMBERS.items()},
        {name: float(value) for name, value in NUMBERS.items()},
        "abc",
        {"accuracy": 0.75},
        Columns(("accuracy",), CONTENT),
        Columns(("accuracy",), CONTENT),
        {"accuracy": 0.125},
        3,
    ),
)
PAIRING = Pairing(
    same_base=True,
    tuned=False,
    paired={"accuracy": 0.1},
    changes={"accuracy": -0.1},
    change_errors={"accuracy": 0.0},
    change_spread={"accuracy": [(2, 0.1), (4, 0.0)]},
)


def stored(found):
    return json.loads(json.dumps(found.to_dict()))


def test_they_are_read_back_as_they_were():
    assert measurement_of(stored(MEASUREMENT), METRICS) == MEASUREMENT
    assert pairing_of(stored(PAIRING), METRICS) == PAIRING
    bare = Measurement(NUMBERS)
    assert measurement_of(stored(bare), METRICS) == bare


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
    ("by_image.first.accuracy", 2),
    ("by_image.first.accuracy", ...),
    ("by_image.base", None),
    ("by_image.base_metrics.accuracy", -1),
    ("by_image.base_metrics.f1", 0.5),
    ("by_image.change_sd.accuracy", -1),
    ("by_image.change_sd.nll", 0.1),
    ("by_image.seeds", 0),
    ("by_image.cell.content", "%%%%"),
    ("by_image.cell", columns(CONTENT[:3])),
    ("by_image.cell", columns(CONTENT[:2])),
    ("by_image.cell", columns(CONTENT, ())),
    ("by_image.cell", columns(CONTENT, ("accuracy", "accuracy"))),
    ("by_image.cell", columns(CONTENT, ("f1",))),
    ("by_image.cell", columns(bytes([0x7C, 0x38, 0, 0]))),
    ("by_image.cell", columns(bytes([0x3C, 0xFF, 0, 0]))),
    ("reused", 1),
    ("reused", ...),
]
"""A place in a stored measurement and what somebody put there; `...` takes it away."""

FORGED_PAIRING = [
    ("same_base", 1),
    ("tuned", None),
    ("paired.accuracy", math.nan),
    ("paired.accuracy", -0.1),
    ("paired.f1", 0.1),
    ("changes.accuracy", math.inf),
    ("change_errors.accuracy", -1),
    ("unpaired", None),
    ("change_spread.accuracy", {}),
    ("change_spread.accuracy", [3]),
    ("change_spread.accuracy", [[0, 0.1]]),
    ("change_spread.accuracy", [[2, -0.1]]),
    ("change_spread.accuracy", [[2, 0.1, 1]]),
    ("change_spread.f1", []),
    ("more", 1),
    ("changes", ...),
]


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


@pytest.mark.parametrize(("place", "value"), FORGED_PAIRING)
def test_what_can_be_no_pairing_is_refused(place, value):
    with pytest.raises((ValueError, TypeError)):
        pairing_of(forged(PAIRING, place, value), METRICS)


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
