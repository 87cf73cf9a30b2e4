"""Metrics' functions: what they are given, and what a paired one may return."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.own_code import imported, misfit
from pytest_prunecal.study.metric import NETWORK

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
    function: Callable[..., Any] = imported(metric.function, f"metric {metric.name!r}")
    return function


def check_function(metric: Metric) -> None:
    """Refuse a metric whose function asks for what it is not given; raises PrunecalError.

    Called before anything is trained; a quotient has no function.
    """
    if metric.function is None:
        return
    function = function_of(metric)
    if not callable(function):
        raise PrunecalError(
            f"metric {metric.name!r}: its function is a {type(function).__name__}; it must be a callable"
        )
    given, offers = _GIVEN[metric.where == NETWORK], _offers(metric)
    problem = misfit(function, *given, **_named(function, dict.fromkeys(offers)))
    if problem:
        raise PrunecalError(
            f"metric {metric.name!r}: its function is given {' and '.join(given)}, and those of "
            f"{', '.join(offers)} that it names: {problem}"
        )


_GIVEN = {True: ("the network",), False: ("logits", "labels")}


def _offers(metric: Metric) -> tuple[str, ...]:
    """What a function may name besides what every such function takes."""
    if metric.where == NETWORK:
        return "input_shape", "dense_weights"
    return ("bins", "predictions", "resamples") if metric.paired else ("bins",)


def called(function: Callable[..., Any], *arguments: object, **offers: object) -> Any:  # noqa: ANN401 - a user's
    """Call a function with what every such function takes, and those of the offers that it names."""
    return function(*arguments, **_named(function, offers))


def _named(function: Callable[..., Any], offers: dict[str, Any]) -> dict[str, Any]:
    names = _parameters(function)
    return {name: offer for name, offer in offers.items() if name in names}


@lru_cache(maxsize=256)
def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(function).parameters)
    except ValueError:  # a function of C without a signature
        return frozenset()
