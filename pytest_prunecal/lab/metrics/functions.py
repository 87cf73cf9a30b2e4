"""Metrics' functions: what they are given, and what a paired one may return."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_prunecal.lab.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pytest_prunecal.study.metric import Metric


class OverImages(NamedTuple):
    """What a paired metric's function returns where the metric is no plain mean over images.

    Attributes:
        value: the metric.
        column: what each image adds to it, to first order: float64 (N,).
        replicates: the metric on resampled images: float64, one a row of the `resamples` that it was offered.
    """

    value: float
    column: Tensor
    replicates: Tensor


def function_of(metric: Metric) -> Callable[..., Any]:
    """A metric's function, imported where its row names it; raises PrunecalError if that cannot be."""
    function: Callable[..., Any] = resolve(metric.function, f"metric {metric.name!r}")
    return function


def called(function: Callable[..., Any], *arguments: object, **offers: object) -> Any:  # noqa: ANN401 - a user's
    """Call a function with what every such function takes, and those of the offers that it names."""
    names = _parameters(function)
    return function(*arguments, **{name: offer for name, offer in offers.items() if name in names})


@lru_cache(maxsize=256)
def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(function).parameters)
    except ValueError:  # a function of C without a signature
        return frozenset()
