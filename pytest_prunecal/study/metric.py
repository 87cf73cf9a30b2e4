"""What is known of a metric without measuring it: its direction and how it is written down."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

DECIMALS = 4
_IN_FULL = 1e16  # from here on Python writes floats with an exponent


IMAGES, CORRUPTED, NETWORK = "images", "corrupted images", "network"
"""Where a metric is measured: on the clean test images, as a mean over the corrupted sets, on the network."""


@dataclass(frozen=True)
class Metric:
    """One metric of a cell: all that is known of it without measuring.

    Attributes:
        name: its key in baselines and reports.
        higher_is_better: the direction; a change against it is a change for the worse.
        function: what measures it, or where that is, as `package.module:attribute`; None for a quotient.
            On images and corrupted images it takes logits, float (N, classes), and labels, int64 (N,), of one
            test set, both on the CPU, and returns a finite number; if `paired`, what each image adds, float
            (N,), whose mean is the metric. On the network it takes the network and returns a number.
        where: `images` (the clean test set), `corrupted images` (the mean over all corrupted sets) or
            `network`.
        paired: whether it is a mean over images, and so compared with its baseline image by image.
        shown: whether the summary shows it.
        count: a whole number (parameters, MACs) rather than a fraction.
        title: what people call it; empty for its name.
        quotient: names of two paired metrics that it is the quotient of.
        bounds: between which two numbers it lies.
        structure: whether pruning alone decides it, so that a change for the better tells of other pruning
            as well and fails under `auto`.
        best: what no network can beat; the nearer a network is to it, the less the metric varies between
            trainings. None for a metric that varies alike everywhere.
        averages: whether what the images add to a paired metric is the metric in the mean; of a calibration
            error it is a little less.
        finished: whether it is measured of finished networks alone: of candidates, and of cells whose pruner
            gives a file that would ship; other cells do not have it.
    """

    name: str
    _: KW_ONLY
    higher_is_better: bool
    function: Callable[..., Any] | str | None = None
    where: str = IMAGES
    paired: bool = False
    shown: bool = False
    count: bool = False
    title: str = ""
    quotient: tuple[str, str] | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)
    averages: bool = True
    structure: bool = False
    best: float | None = None
    finished: bool = False


_LAB = "pytest_prunecal.lab.metrics"
_SHARE = (0.0, 1.0)
_POSITIVE = (0.0, math.inf)
_BUILT_IN = (
    Metric(
        "accuracy",
        higher_is_better=True,
        function=f"{_LAB}.scores:accuracy",
        paired=True,
        shown=True,
        title="accuracy",
        bounds=_SHARE,
        best=1.0,
    ),
    Metric(
        "ece",
        higher_is_better=False,
        function=f"{_LAB}.calibration:ece_over_images",
        paired=True,
        shown=True,
        title="ECE",
        bounds=_SHARE,
        averages=False,
        best=0.0,
    ),
    Metric(
        "nll",
        higher_is_better=False,
        function=f"{_LAB}.scores:nll",
        paired=True,
        title="NLL",
        bounds=_POSITIVE,
        best=0.0,
    ),
    Metric(
        "brier",
        higher_is_better=False,
        function=f"{_LAB}.scores:brier",
        paired=True,
        title="Brier score",
        bounds=(0.0, 2.0),
        best=0.0,
    ),
    Metric(
        "mpc",
        higher_is_better=True,
        function=f"{_LAB}.scores:accuracy",
        where=CORRUPTED,
        paired=True,
        shown=True,
        title="mPC",
        bounds=_SHARE,
        best=1.0,
    ),
    Metric(
        "rpc",
        higher_is_better=True,
        where=CORRUPTED,
        paired=True,
        title="rPC",
        quotient=("mpc", "accuracy"),
        bounds=_POSITIVE,
        best=1.0,
    ),
    Metric(
        "corrupted_ece",
        higher_is_better=False,
        function=f"{_LAB}.calibration:ece_over_images",
        where=CORRUPTED,
        paired=True,
        shown=True,
        title="ECE under corruption",
        bounds=_SHARE,
        averages=False,
        best=0.0,
    ),
    Metric(
        "parameters",
        higher_is_better=False,
        function=f"{_LAB}.complexity:parameters",
        where=NETWORK,
        count=True,
        title="parameters",
        structure=True,
        bounds=_POSITIVE,
    ),
    Metric(
        "macs",
        higher_is_better=False,
        function=f"{_LAB}.complexity:macs",
        where=NETWORK,
        count=True,
        title="MACs",
        structure=True,
        bounds=_POSITIVE,
    ),
    Metric(
        "sparsity",
        higher_is_better=True,
        function=f"{_LAB}.complexity:sparsity",
        where=NETWORK,
        title="sparsity",
        structure=True,
        bounds=_SHARE,
    ),
    Metric(
        "bytes",
        higher_is_better=False,
        function=f"{_LAB}.storage:stored_bytes",
        where=NETWORK,
        count=True,
        title="size on disk",
        structure=True,
        bounds=_POSITIVE,
        finished=True,
    ),
    Metric(
        "int8",
        higher_is_better=True,
        function=f"{_LAB}.storage:int8_share",
        where=NETWORK,
        title="int8 weights",
        structure=True,
        bounds=_SHARE,
        finished=True,
    ),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _BUILT_IN}


def known(extra: Iterable[Metric] = ()) -> dict[str, Metric]:
    """Metrics by name, the built-in ones first and in canonical order."""
    return METRICS | {metric.name: metric for metric in extra}


def incomplete(names: Iterable[str], metrics: Mapping[str, Metric]) -> bool:
    """Whether these are not the metrics of a cell: all of images; of some networks nothing is counted."""
    found = set(names)
    return not {name for name, one in metrics.items() if one.where != NETWORK} <= found <= metrics.keys()


def problem_of(metric: Metric, metrics: Mapping[str, Metric]) -> str:
    """What is wrong with a metric's row, as far as can be told without its function; empty if nothing."""
    if metric.quotient:
        strange = [name for name in metric.quotient if name not in metrics or not metrics[name].paired]
        return f"as a quotient of {strange[0]!r}, which is no paired metric" if strange else ""
    if metric.where not in (IMAGES, CORRUPTED, NETWORK):
        return f"measured on {metric.where!r}; it must be {IMAGES!r}, {CORRUPTED!r} or {NETWORK!r}"
    if metric.paired and metric.where == NETWORK:
        return "as paired, but a metric of the network is no mean over images"
    return "" if metric.function else "without a function"


def shown(metrics: Mapping[str, Metric]) -> list[str]:
    """Names of the metrics that a summary shows, in canonical order."""
    return [name for name, metric in metrics.items() if metric.shown]


def recorded(value: float) -> float:
    """Round a number to what a baseline file carries: four decimals, counts as they are.

    Verdicts compare recorded numbers, so that accepting a measurement makes it compare as unchanged.
    """
    return value if isinstance(value, int) else round(value, DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0


def written(value: float) -> str:
    """Write a number the way baselines and tables show it: four decimals, or a count in full.

    From 1e16 on a float has no decimals, and is written as it is, with an exponent.

    Example:
        >>> written(0.96875), written(315010), written(1.5e300), written(1e22)
        ('0.9688', '315010', '1.5e+300', '1.0e+22')
    """
    if isinstance(value, int):
        return str(value)
    if abs(value) < _IN_FULL or not math.isfinite(value):
        return f"{recorded(value):.{DECIMALS}f}"
    digits, exponent, power = repr(recorded(value)).partition("e")
    return f"{digits if '.' in digits else f'{digits}.0'}{exponent}{power}"  # YAML knows 1e+22 for a text


def in_order(names: Iterable[str], metrics: Mapping[str, Metric]) -> list[str]:
    """Sort metric names canonically: known ones in their order, then the others by name."""
    rank = {name: position for position, name in enumerate(metrics)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))
