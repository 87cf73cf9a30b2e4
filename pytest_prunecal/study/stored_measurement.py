"""Measurements read from the store: whatever is there, only what can be one gets through."""

from __future__ import annotations

import base64
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from pytest_prunecal.study import against_dense, stored
from pytest_prunecal.study.image_results import Columns, ImageResults
from pytest_prunecal.study.measurement import Measurement, mean_of
from pytest_prunecal.study.metric import incomplete
from pytest_prunecal.study.stored_trace import jitter_of, trace_of
from pytest_prunecal.study.uncertainty import UNKNOWN, Uncertainty

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.metric import Metric

_INFINITE = 0x7C
"""Exponent bits of a float16 in its high byte: all set in infinity and NaN."""


def measurement_of(value: object, metrics: Mapping[str, Metric]) -> Measurement:
    """Read what `Measurement.to_dict` gave.

    Args:
        value: as it came out of a JSON file.
        metrics: all that a cell is measured in.

    Raises:
        ValueError, TypeError: it can be no measurement in these metrics.
    """
    data = _fields(value, Measurement)
    numbers = stored.numbers(data["metrics"], "its metrics")
    stored.within_bounds(numbers, metrics)
    if incomplete(numbers, metrics):
        raise ValueError("it is not a measurement in the session's metrics")
    provenance = {name: _told(each, name) for name, each in stored.record(data["provenance"], "it").items()}
    uncertainty = {
        name: _uncertainty(each) for name, each in stored.record(data["uncertainty"], "it").items()
    }
    if not uncertainty.keys() <= numbers.keys():
        raise ValueError("it is sure of metrics that it has not")
    by_image = None if data["by_image"] is None else _by_image(data["by_image"], numbers, metrics)
    found = Measurement(
        metrics=numbers,
        corrupted=stored.scores(data["corrupted"], metrics),
        provenance=provenance,
        warnings=stored.texts(data["warnings"], "its warnings"),
        uncertainty=uncertainty,
        by_image=by_image,
        reused=stored.truth(data["reused"], "reused"),
        each=_each(data["each"], "its seeds"),
        trace=None if data["trace"] is None else trace_of(data["trace"]),
        jitter=None if data["jitter"] is None else jitter_of(data["jitter"]),
        against_dense=against_dense.read(data["against_dense"], metrics),
    )
    _check_seeds(found, metrics)
    for name, beside in found.against_dense.items():
        if len(beside.each) != provenance.get("seeds", 1) or mean_of(beside.each) != beside.dense:
            raise ValueError(f"its dense network's {name} is of other seeds")
    return found


def _fields(value: object, kind: type) -> dict[str, Any]:
    return stored.record(value, "it", {field.name for field in fields(kind)})


def _told(value: object, name: str) -> str | int | float:
    return value if isinstance(value, str) else stored.number(value, name)


def _uncertainty(value: object) -> Uncertainty:
    data = _fields(value, Uncertainty)
    se, sd = (None if data[name] is None else stored.number(data[name], name, 0) for name in ("se", "sd"))
    first = None if data["first"] is None else stored.number(data["first"], "first")
    return Uncertainty(se, sd, stored.whole(data["seeds"], "seeds", 1), first)


def _each(value: object, what: str) -> dict[str, list[Number]]:
    return {
        name: [stored.number(one, name) for one in stored.items(values, name)]
        for name, values in stored.record(value, what).items()
    }


def _check_seeds(found: Measurement, metrics: Mapping[str, Metric]) -> None:
    """Raise ValueError where parts of a measurement are of other seeds, or of another trace."""
    seeds = found.provenance.get("seeds", 1)
    if found.each and found.each.keys() != found.metrics.keys():
        raise ValueError("its numbers under each seed are of other metrics")
    for name, values in found.each.items():
        if len(values) != seeds:
            raise ValueError(f"it has {name} under {len(values)} seeds, and is of {seeds}")
        for one in values:
            stored.within_bounds({name: one}, metrics)
        if mean_of(values) != found.metrics[name]:
            raise ValueError(f"its {name} is not the mean over its seeds")
        sure = found.uncertainty.get(name, UNKNOWN)
        if sure.first is not None and (sure.first != values[0] or seeds == 1):
            raise ValueError(f"its first {name} is not that of its first seed")
    images = found.by_image
    if images is None:
        return
    if images.each != found.each:
        raise ValueError("its results by image are of other seeds")
    if (images.trace, images.jitter) != (found.trace, found.jitter):
        raise ValueError("its results by image are of another trace")


def _by_image(value: object, numbers: Mapping[str, float], metrics: Mapping[str, Metric]) -> ImageResults:
    data = _fields(value, ImageResults)
    found = ImageResults(
        metrics=stored.numbers(data["metrics"], "its metrics by image"),
        each=_each(data["each"], "its seeds by image"),
        base=stored.text(data["base"], "its base network"),
        base_metrics=stored.numbers(data["base_metrics"], "its base network's metrics"),
        cell=_columns(data["cell"], metrics),
        base_cell=_columns(data["base_cell"], metrics),
        change_sd=stored.numbers(data["change_sd"], "its deviations", 0),
        trace=None if data["trace"] is None else trace_of(data["trace"]),
        jitter=None if data["jitter"] is None else jitter_of(data["jitter"]),
    )
    for each in (found.metrics, found.base_metrics):
        stored.within_bounds(each, metrics)
    if found.metrics != numbers:
        raise ValueError("its results by image are of other numbers")
    if not found.change_sd.keys() <= found.base_metrics.keys():
        raise ValueError("it deviates from a base network that it does not tell of")
    if found.cell.images != found.base_cell.images:
        raise ValueError("its results by image are of two numbers of images")
    return found


def _columns(value: object, metrics: Mapping[str, Metric]) -> Columns:
    data = _fields(value, Columns)
    names = stored.texts(data["names"], "its columns")
    content = base64.b64decode(stored.text(data["content"], "its columns"), validate=True)
    if len(set(names)) != len(names) or not set(names) <= metrics.keys():
        raise ValueError("its columns are of metrics that there are not, or twice")
    if len(content) % max(2 * len(names), 1) or (content and not names):
        raise ValueError("its columns are cut")
    if any(byte & _INFINITE == _INFINITE for byte in set(content[: len(content) // 2])):
        raise ValueError("its columns are not finite")
    return Columns(names, content)
