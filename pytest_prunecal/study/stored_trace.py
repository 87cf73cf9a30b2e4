"""Traces and jitters read from a file: whatever is there, only what can be one gets through.

Each function raises a ValueError, a TypeError or an OverflowError where it is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.study import stored
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

if TYPE_CHECKING:
    from pytest_prunecal.study.trace import Value

_LONGEST = 1000
"""Letters of a name, such as that of a layer, or of a digest."""

_LARGEST = 2**62
"""Whole numbers are counts of parameters, of multiplications, of steps."""

_ALWAYS = (DATA, CORRUPTIONS, DENSE, STRUCTURE)
_OF_FINISHED = (DATA, CORRUPTIONS)  # nothing is known of how such a network came about


def trace_of(value: object) -> Trace:
    """Read what `Trace.to_dict` gave."""
    data = stored.record(value, "its trace", {"base", "stages"})
    stages = {
        stage: stage_of(values, stage)
        for stage, values in stored.record(data["stages"], "its stages").items()
    }
    present = [*stages]
    untuned = [stage for stage in STAGES if stage != FINETUNE]
    if present not in ([*STAGES], untuned, [*_ALWAYS], [*_OF_FINISHED]):
        raise ValueError("its trace has other stages, or in another order")
    for stage, values in stages.items():
        texts = [isinstance(value, str) for value in values.values()]
        if stage == DATA and not all(texts):
            raise ValueError("its trace knows the data by what is no digest")
        if stage in (CORRUPTIONS, FINETUNE, PRUNED) and not values:
            raise ValueError(f"its trace says nothing of {stage}")
    if not all(type(pixel) is float and 0 <= pixel <= 1 for pixel in stages[CORRUPTIONS].values()):
        raise ValueError("its trace has mean pixels that are none")
    return Trace(_short(stored.text(data["base"], "the base of its trace")), stages)


def jitter_of(value: object) -> Jitter:
    """Read what `Jitter.to_dict` gave."""
    data = stored.record(value, "its jitter", {"trace", "metrics"})
    trace = {
        stage: deviations_of(values, stage)
        for stage, values in stored.record(data["trace"], "its jitter").items()
    }
    if [stage for stage in STAGES if stage in trace] != [*trace]:
        raise ValueError("its jitter is of other stages, or in another order")
    metrics = {
        _short(name): [float(stored.number(one, name)) for one in stored.items(values, name)]
        for name, values in stored.record(data["metrics"], "its jitter").items()
    }
    if len({*map(len, metrics.values())}) > 1 or not all(metrics.values()):
        raise ValueError("its jitter is of one number of repeats in one metric, of another in another")
    return Jitter(trace, metrics)


def stage_of(value: object, stage: str) -> dict[str, Value]:
    """Read the values of a stage: texts, whole numbers, finite floats."""
    return {
        _short(name): _value(one, f"{stage}: {name}") for name, one in stored.record(value, stage).items()
    }


def deviations_of(value: object, stage: str) -> dict[str, float]:
    """Read how far the values of a stage were moved."""
    found = stored.numbers(value, f"jitter of {stage}", 0)
    return {_short(name): float(one) for name, one in found.items()}


def _value(value: object, what: str) -> Value:
    if isinstance(value, str):
        return _short(value)
    number = stored.number(value, what)
    if isinstance(number, int) and abs(number) > _LARGEST:
        raise ValueError(f"{what} counts more than there can be")
    return number


def _short(text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(f"a text of {len(text)} letters is none of a trace's")
    return text
