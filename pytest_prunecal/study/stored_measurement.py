"""Measurements and pairings read from the store: whatever is there, only what can be one gets through."""

from __future__ import annotations

import base64
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from pytest_prunecal.study import stored
from pytest_prunecal.study.image_results import Columns, ImageResults
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.uncertainty import Uncertainty

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    if numbers.keys() != metrics.keys():
        raise ValueError("it is not a measurement in the session's metrics")
    provenance = {name: _told(each, name) for name, each in stored.record(data["provenance"], "it").items()}
    uncertainty = {
        name: _uncertainty(each) for name, each in stored.record(data["uncertainty"], "it").items()
    }
    if not uncertainty.keys() <= numbers.keys():
        raise ValueError("it is sure of metrics that it has not")
    by_image = None if data["by_image"] is None else _by_image(data["by_image"], numbers, metrics)
    return Measurement(
        metrics=numbers,
        corrupted=stored.scores(data["corrupted"], metrics),
        provenance=provenance,
        warnings=stored.texts(data["warnings"], "its warnings"),
        uncertainty=uncertainty,
        by_image=by_image,
        reused=stored.truth(data["reused"], "reused"),
    )


def pairing_of(value: object, metrics: Mapping[str, Metric]) -> Pairing:
    """Read what `Pairing.to_dict` gave; raises ValueError or TypeError if it can be none in these metrics."""
    data = _fields(value, Pairing)
    spread = stored.record(data["change_spread"], "change_spread")
    found = Pairing(
        same_base=stored.truth(data["same_base"], "same_base"),
        tuned=stored.truth(data["tuned"], "tuned"),
        paired=stored.numbers(data["paired"], "paired", 0),
        changes=stored.numbers(data["changes"], "changes"),
        change_errors=stored.numbers(data["change_errors"], "change_errors", 0),
        unpaired=stored.text(data["unpaired"], "unpaired"),
        change_spread={
            name: [_spread(side) for side in stored.items(sides, name)] for name, sides in spread.items()
        },
    )
    for names in (found.paired, found.changes, found.change_errors, found.change_spread):
        if not names.keys() <= metrics.keys():
            raise ValueError("it is in metrics that there are not")
    return found


def _fields(value: object, kind: type) -> dict[str, Any]:
    return stored.record(value, "it", {field.name for field in fields(kind)})


def _told(value: object, name: str) -> str | int | float:
    return value if isinstance(value, str) else stored.number(value, name)


def _uncertainty(value: object) -> Uncertainty:
    data = _fields(value, Uncertainty)
    se, sd = (None if data[name] is None else stored.number(data[name], name, 0) for name in ("se", "sd"))
    return Uncertainty(se, sd, stored.whole(data["seeds"], "seeds", 1))


def _spread(value: object) -> tuple[int, float]:
    dof, deviation = stored.items(value, "a spread")
    return stored.whole(dof, "a number of seeds", 1), stored.number(deviation, "a deviation", 0)


def _by_image(value: object, numbers: Mapping[str, float], metrics: Mapping[str, Metric]) -> ImageResults:
    data = _fields(value, ImageResults)
    found = ImageResults(
        metrics=stored.numbers(data["metrics"], "its metrics by image"),
        first=stored.numbers(data["first"], "its first metrics"),
        base=stored.text(data["base"], "its base network"),
        base_metrics=stored.numbers(data["base_metrics"], "its base network's metrics"),
        cell=_columns(data["cell"], metrics),
        base_cell=_columns(data["base_cell"], metrics),
        change_sd=stored.numbers(data["change_sd"], "its deviations", 0),
        seeds=stored.whole(data["seeds"], "seeds", 1),
    )
    for each in (found.metrics, found.first, found.base_metrics):
        stored.within_bounds(each, metrics)
    if found.metrics != numbers or found.first.keys() != numbers.keys():
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
