"""Metrics on one version of the test images: their functions called, their answers checked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.evaluation.bootstrap import resampled, resampling
from pytest_prunecal.lab.metrics.functions import OverImages, called, function_of
from pytest_prunecal.lab.metrics.predictions import predictions_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_prunecal.study.metric import Metric


class Scored(NamedTuple):
    """A metric on one version of the test images.

    Attributes:
        value: the metric.
        column: what each image adds, float64 (N,); None if the metric is not paired.
        replicates: the metric on resampled images, float64; None where that is the resampled mean of
            `column`, or where the metric has no value on some of them.
    """

    value: float
    column: Tensor | None = None
    replicates: Tensor | None = None


class Scores:
    """Metrics of one version of the test images; a function is called once, whichever metrics share it.

    Args:
        logits: float32 (N, classes) on the CPU.
        labels: int64 (N,) on the CPU.
        bins: of calibration errors.
    """

    def __init__(self, logits: Tensor, labels: Tensor, bins: int) -> None:
        self._logits, self._labels, self._bins = logits, labels, bins
        self._predictions = predictions_of(logits, labels)
        self._known: dict[Callable[..., Any], Scored] = {}

    def of(self, metric: Metric) -> Scored:
        """Score one metric; raises PrunecalError if its function's answer is not what its row promises."""
        function = function_of(metric)
        if function not in self._known:
            score = self._paired if metric.paired else self._unpaired
            self._known[function] = score(metric, function)
        return self._known[function]

    def _paired(self, metric: Metric, function: Callable[..., Any]) -> Scored:
        images = len(self._labels)
        offers = {"bins": self._bins, "predictions": self._predictions, "resamples": resampling(images)}
        found = called(function, self._logits, self._labels, **offers)
        if isinstance(found, OverImages):
            return Scored(*found)
        if not (isinstance(found, Tensor) and found.shape == (images,) and found.is_floating_point()):
            raise PrunecalError(
                f"metric {metric.name!r} is paired, and its function returned {_described(found)}; "
                f"wanted what each image adds, a float tensor of shape ({images},)"
            )
        column = found.double()
        return Scored(float(column.sum()) / images, column)

    def _unpaired(self, metric: Metric, function: Callable[..., Any]) -> Scored:
        bound = partial(called, function, bins=self._bins)
        found = bound(self._logits, self._labels)
        try:
            value = float(found)
        except (TypeError, ValueError, RuntimeError):
            raise PrunecalError(
                f"metric {metric.name!r}: its function returned {_described(found)}, wanted a number"
            ) from None
        return Scored(value, replicates=resampled(bound, self._logits, self._labels))


def _described(found: object) -> str:
    if not isinstance(found, Tensor):
        return f"a {type(found).__name__}"
    return f"a tensor of {str(found.dtype).removeprefix('torch.')} and shape {tuple(found.shape)}"
