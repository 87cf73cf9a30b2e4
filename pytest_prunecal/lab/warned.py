"""Warnings that were given while something was measured."""

from __future__ import annotations

import warnings

from pytest_prunecal.errors import MeasurementWarning


def told_with(caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    """What belongs to the measurement, each once; any other warning goes on to pytest."""
    told = []
    for warning in caught:
        if issubclass(warning.category, MeasurementWarning):
            told.append(str(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return tuple(dict.fromkeys(told))
