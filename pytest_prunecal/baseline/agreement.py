"""Whether results by image agree with the baseline file that names them.

People review the file; nobody can review what lies beside it. So all that the results claim of accepted
numbers is held against the file, to the digits and within the deviations that stand there. Where a person
edited a number since, the results of that cell are of no use any more, and none is made of them.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, NamedTuple

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.cell import DENSE
from pytest_prunecal.study.image_results import paired
from pytest_prunecal.study.metric import IMAGES, METRICS, recorded
from pytest_prunecal.study.trace import DENSE as BASE
from pytest_prunecal.study.trace import STRUCTURE
from pytest_prunecal.study.uncertainty import UNKNOWN, rounded, within_reach

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_prunecal.baseline.file import AcceptedCell, Baseline
    from pytest_prunecal.study.image_results import Columns, ImageResults
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.uncertainty import Uncertainty

ENCODED = 0.0084
"""How far a number of a column may be from what was encoded, as a share of it."""
_SMALLEST = 1e-6  # below which a share of it says nothing: the encoding has no smaller steps
_CLIPPED = 59_000.0  # larger ones were cut off
_OTHER_MACHINE = 0.005  # a network's own numbers on another machine; 0.0038 was measured


class Summary(NamedTuple):
    """A column in short: its mean, that of its magnitudes, its extremes."""

    mean: float
    magnitude: float
    low: float
    high: float


def check(
    cells: Mapping[str, ImageResults], baseline: Baseline, metrics: Mapping[str, Metric], name: str
) -> None:
    """Refuse results by image that contradict the baseline file.

    Args:
        cells: the results by cell; what is about a cell that the file does not have is passed over.
        baseline: the file.
        metrics: all there are.
        name: how messages call the results' file.

    Raises:
        PrunecalError: they do, and where.
    """
    known: dict[int, str] = {}
    for cell_id, found in cells.items():
        accepted = baseline.cells.get(cell_id)
        if accepted is None or edited(found, accepted, metrics):
            continue
        if id(found.base_cell) not in known:  # many cells have the same one
            known[id(found.base_cell)] = next(_columns(found.base_cell, found.base_metrics, metrics), "")
        problem = next(_seeds(found, accepted), "")
        problem = problem or next(_trace(found, metrics), "") or next(_jitter(found, metrics), "")
        problem = problem or next(_columns(found.cell, found.metrics, metrics), "")
        if base := known[id(found.base_cell)] or _base(found, cells.get(DENSE), baseline, metrics):
            problem = problem or f"of its base network, {base}"
        if problem:
            raise PrunecalError(
                f"{name}: does not agree with {baseline.name}:{accepted.line} about {cell_id}: {problem}; "
                "restore both files, delete this one to compare without it, or measure the whole file again "
                "with --prunecal-update"
            )


def edited(found: ImageResults, accepted: AcceptedCell, metrics: Mapping[str, Metric]) -> bool:
    """Whether the accepted numbers are others than those that the results by image belong to."""
    means = {name: recorded(mean) for name, mean in found.metrics.items()}
    return any(means.get(name) != accepted.metrics.get(name) for name in paired(found.cell.names, metrics))


def _seeds(found: ImageResults, accepted: AcceptedCell) -> Iterator[str]:
    """What is wrong with the numbers under each seed, and with the deviations over seeds."""
    seeds = max((sure.seeds for sure in accepted.uncertainty.values()), default=1)
    for name, values in found.each.items():
        mean, sure = accepted.metrics.get(name), accepted.uncertainty.get(name, UNKNOWN)
        if mean is None or recorded(found.metrics.get(name, math.nan)) != mean:
            continue  # it was edited, and no seed stands for it
        first = values[0]
        if not within_reach(first, mean, sure):
            yield (
                f"its first seed has {name} {first:.6g}, which none of {seeds} with the mean {mean:.6g} "
                f"and the deviation {sure.sd or 0:g} can have"
            )
        elif sure.first is not None and recorded(first) != sure.first:
            yield f"its first seed has {name} {first:.6g}, not {sure.first:g}"
        # A file from before each seed was written down has the first alone.
        if len(values) not in (1, seeds):
            yield f"it has {name} under {len(values)} seeds, not under {seeds}"
        elif len(values) > 1:
            yield from _together(name, values, mean, sure)
    for name, sd in found.change_sd.items():
        if not 0 <= sd < math.inf or seeds == 1:
            yield f"its change of {name} has the deviation {sd:g}"


def _together(name: str, values: list[float], mean: float, sure: Uncertainty) -> Iterator[str]:
    """What is wrong with the numbers under several seeds together: people reviewed what they sum up to."""
    of = f"its {len(values)} seeds have {name}"
    try:
        center, sd = statistics.fmean(values), rounded(statistics.stdev(values))
    except OverflowError:
        yield f"{of} beyond any mean"
        return
    center = round(center) if isinstance(mean, int) else recorded(center)
    if center != mean:
        yield f"{of} {center:.6g} in the mean, not {mean:.6g}"
    if sd != (sure.sd or 0.0):
        yield f"{of} with the deviation {sd:g}, not {sure.sd or 0:g}"


def _trace(found: ImageResults, metrics: Mapping[str, Metric]) -> Iterator[str]:
    """What is wrong with a trace, where it tells of what stands elsewhere too."""
    if found.trace is None:
        return
    for name, value in found.trace.stages.get(STRUCTURE, {}).items():
        if name in found.each and value != found.each[name][0]:
            yield f"its trace has {name} {value}, its first seed {found.each[name][0]:.6g}"
    of_base = found.trace.stages.get(BASE, {}) if found.trace.base == found.base else {}
    for name, value in of_base.items():
        told = found.base_metrics.get(name)
        if told is None or not _is_of_images(name, metrics):
            continue
        if isinstance(value, str) or abs(value - told) > _OTHER_MACHINE:
            yield f"its trace has {name} {value} of its base network, not {told:.6g}"


def _jitter(found: ImageResults, metrics: Mapping[str, Metric]) -> Iterator[str]:
    """What is wrong with how far repeats moved a cell: where they ended, a metric can be."""
    for name, moved in found.jitter.metrics.items() if found.jitter else ():
        low, high = metrics[name].bounds if name in metrics else (-math.inf, math.inf)
        for one in moved:
            ended = found.each.get(name, [math.nan])[0] + one
            if not (math.isfinite(ended) and low - _SMALLEST <= ended <= high + _SMALLEST):
                yield f"a repeat has {name} {ended:.6g}, beyond [{low:g}, {high:g}]"
    for stage, values in found.jitter.trace.items() if found.jitter else ():
        for name, one in values.items():
            if not 0 <= one < math.inf:
                yield f"its jitter of {name} in {stage} is {one:g}"


def _columns(columns: Columns, values: Mapping[str, float], metrics: Mapping[str, Metric]) -> Iterator[str]:
    """What is wrong with what the images add."""
    for name in columns.names:
        column = _summary(columns.values(name))
        if not math.isfinite(column.magnitude):
            yield f"what the images add to {name} is not finite"
            return
        metric = metrics.get(name)
        if metric is None:
            continue
        if name in METRICS:
            # An image adds to a calibration error what its bin's gap does to it, up or down.
            low, high = metric.bounds if metric.averages else (-metric.bounds[1], metric.bounds[1])
            slack = ENCODED * max(abs(column.low), abs(column.high)) + _SMALLEST
            if column.low < low - slack or column.high > high + slack:
                yield (
                    f"what the images add to {name} goes from {column.low:.6g} to {column.high:.6g}, "
                    f"beyond [{low:g}, {high:g}]"
                )
        value = values.get(name)
        if value is None or not metric.averages or max(-column.low, column.high) > _CLIPPED:
            continue
        if abs(column.mean - value) > ENCODED * column.magnitude + _SMALLEST:
            yield f"what the images add to {name} averages to {column.mean:.6g}, not to {value:.6g}"


def _base(
    found: ImageResults, dense: ImageResults | None, baseline: Baseline, metrics: Mapping[str, Metric]
) -> str:
    """What is wrong with the base network's numbers where it is the dense cell's, which the file has."""
    accepted = baseline.cells.get(DENSE)
    if accepted is None or dense is None or dense.base != found.base or edited(dense, accepted, metrics):
        return ""
    for name, value in found.base_metrics.items():
        mean, sure = accepted.metrics.get(name), accepted.uncertainty.get(name, UNKNOWN)
        if mean is None or not _is_of_images(name, metrics):
            continue
        if abs(value - mean) > max(sure.se or 0.0, _OTHER_MACHINE):
            return f"{name} is {value:.6g}, that of the dense cell {mean:.6g}"
    return ""


def _is_of_images(name: str, metrics: Mapping[str, Metric]) -> bool:
    """Whether a metric is the same wherever and whenever a network was measured.

    Corrupted images may be of another source, a metric of the user's own of another version.
    """
    return name in METRICS and metrics[name].where == IMAGES


def _summary(values: tuple[float, ...]) -> Summary:
    magnitude = sum(map(abs, values)) / len(values)
    return Summary(sum(values) / len(values), magnitude, min(values), max(values))
