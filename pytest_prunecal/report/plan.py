"""What the gate would see of a model, with the baseline that it has and with others: before any measuring."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pytest_prunecal.judge.pooled import ALL
from pytest_prunecal.report.numbers import caught
from pytest_prunecal.report.text_table import table
from pytest_prunecal.report.wording import metric_of, plural, title_of
from pytest_prunecal.study.metric import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_prunecal.judge.outlook import Ahead
    from pytest_prunecal.study.metric import Metric

SEEDS = (1, 3, 5, 8, 12, 16)
IMAGES = (1, 2, 4)
SEEN_WELL = 2
"""From how many times the smallest effect that matters on a change is seen well enough."""


@dataclass(frozen=True)
class ModelAhead:
    """One model's part of the plan.

    Attributes:
        model: its name.
        file: its baseline file as shown to people.
        ahead: its cells, accepted or assumed.
        seeds: over how many seeds most of them were accepted.
        assumed: what stands in for a baseline file; empty where there is one.
        given_base: whether runs start from one base network by what the file says.
        traced: whether what lies beside the file lets a run be compared seed by seed.
        candidates: by candidate and metric, the change for the worse that is caught with 95 %.
    """

    model: str
    file: str
    ahead: Ahead
    seeds: int
    assumed: str = ""
    given_base: bool = True
    traced: bool = False
    candidates: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


class Place(NamedTuple):
    """A column and a line of the table: a baseline of so many seeds, on so many times the test images."""

    seeds: int
    images: int


class Seen(NamedTuple):
    """What is caught of a metric with a probability of 0.95, in its unit, and by what it is noisy."""

    over: str
    metric: Metric
    by_place: Mapping[Place, float]


def lines(model: ModelAhead, metrics: Mapping[str, Metric]) -> Iterator[str]:
    """Write a model's plan, line by line."""
    yield f"{model.model}, {model.file}"
    if model.assumed:
        yield model.assumed
    if not model.given_base:
        yield "for runs from the same base network, which --prunecal-pin makes sure of; others see less"
    for cell, caught_from in model.candidates.items():
        values = ", ".join(
            f"{title_of(metric_of(name, metrics))} from {caught(value, metric_of(name, metrics))}"
            for name, value in caught_from.items()
        )
        yield (
            f"{cell}, another network on the same test images, without training noise: {values}; image by "
            "image, smaller ones"
        )
    if model.candidates and not model.ahead.cells:
        return
    seeds = sorted({*SEEDS, model.seeds})
    found = list(seen(model.ahead, metrics, seeds))
    if not found:
        yield "no cell is compared under tolerance auto: fixed tolerances say themselves what they catch"
        return
    yield "smallest change for the worse that is caught with 95 %, by seeds of the baseline"
    heads = [f"{count}{' (now)' if count == model.seeds and not model.assumed else ''}" for count in seeds]
    yield from table(["of", "metric", "images", *heads], list(_rows(found, seeds)))
    yield _now(found, model)
    yield _advice(found, model)
    if model.traced:
        yield (
            "code that prunes and starts fine-tuning as accepted is compared seed by seed, which shows "
            "smaller changes"
        )


def seen(ahead: Ahead, metrics: Mapping[str, Metric], seeds: Sequence[int]) -> Iterator[Seen]:
    """What is caught of each metric of the summary: in one cell, in a pruner's cells, in all of them."""
    places = [Place(count, images) for images in IMAGES for count in seeds]
    names = [name for name in shown(metrics) if any(name in found for found in ahead.cells.values())]
    for over, of in (("one cell", _cell), ("one pruner", _pruner), ("all cells", _all)):
        for name in names:
            by_place = {place: of(ahead, name, place) for place in places}
            if all(value is not None for value in by_place.values()):
                known = {place: value or 0.0 for place, value in by_place.items()}
                yield Seen(over, metric_of(name, metrics), known)


def halving(found: Sequence[Seen], now: int) -> Place | None:
    """The cheapest place at which half of what is caught now is caught of each metric; None if there is none.

    Args:
        found: of what is asked for.
        now: seeds of the baseline.
    """
    before = Place(now, 1)
    good = [
        place
        for place in found[0].by_place
        if place.seeds >= now and all(2 * one.by_place[place] <= one.by_place[before] for one in found)
    ]
    return min(good, key=lambda place: (place.seeds * place.images, place.images), default=None)


def _cell(ahead: Ahead, name: str, place: Place) -> float | None:
    found = ahead.median(name, *place)
    return found.detectable if found else None


def _pruner(ahead: Ahead, name: str, place: Place) -> float | None:
    found = [ahead.pooled(group, name, *place) for group in ahead.groups]
    values = sorted(one.detectable for one in found if one)
    return values[len(values) // 2] if values else None


def _all(ahead: Ahead, name: str, place: Place) -> float | None:
    found = ahead.pooled(ALL, name, *place)
    return found.detectable if found else None


def _effect(ahead: Ahead, name: str) -> float:
    """The smallest change that matters, of the cell where least does."""
    return min(ahead.effect(cell, name) for cell, found in ahead.cells.items() if name in found)


def _rows(found: Sequence[Seen], seeds: Sequence[int]) -> Iterator[list[str]]:
    for one in found:
        for images in IMAGES:
            values = (caught(one.by_place[Place(count, images)], one.metric) for count in seeds)
            head = [one.over, one.metric.name] if images == IMAGES[0] else ["", ""]
            yield [*head, f"{images}x", *values]


def _of_cells(found: Sequence[Seen]) -> list[Seen]:
    return [one for one in found if one.over == found[0].over]


def _now(found: Sequence[Seen], model: ModelAhead) -> str:
    here = Place(model.seeds, 1)
    values = ", ".join(
        f"{title_of(one.metric)} from {caught(one.by_place[here], one.metric)}" for one in _of_cells(found)
    )
    whose = "a baseline" if model.assumed else "this baseline"
    return f"{whose} of {plural(model.seeds, 'seed')} sees in one cell, the middle one: {values}"


def _advice(found: Sequence[Seen], model: ModelAhead) -> str:
    """The cheapest step that would halve what one cell shows; or that none would, or none is needed."""
    here, cells = Place(model.seeds, 1), _of_cells(found)
    if all(one.by_place[here] <= SEEN_WELL * _effect(model.ahead, one.metric.name) for one in cells):
        return "that is all that matters: nothing to do"
    place = halving(cells, model.seeds)
    if place is None:
        return (
            "no step in this table halves all of it; what harms several cells shows sooner, see one pruner "
            "and all cells"
        )
    steps = []
    if place.seeds > model.seeds:
        steps.append(f"{place.seeds} accepted seeds (--prunecal-seeds={place.seeds} --prunecal-update)")
    if place.images > 1:
        steps.append(f"{place.images} times the test images")
    return f"the cheapest step that halves it: {' and '.join(steps)}"
