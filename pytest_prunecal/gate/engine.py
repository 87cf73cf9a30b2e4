"""The session's engine, and what it measures with."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from pytest_prunecal.gate.stash import ENGINE, SETTINGS, worker_of

if TYPE_CHECKING:
    import pytest

    from pytest_prunecal.gate.settings import Settings
    from pytest_prunecal.lab.engines import Engine, Setup


def engine_of(config: pytest.Config) -> Engine:
    """The session's engine, made at the first measurement."""
    if ENGINE not in config.stash:
        from pytest_prunecal.lab.engines import start  # noqa: PLC0415 - only to measure

        config.stash[ENGINE] = start(setup_of(config.stash[SETTINGS], worker_of(config) or 0))
    engine: Engine = config.stash[ENGINE]
    return engine


def setup_of(settings: Settings, worker: int) -> Setup:
    """Fill each field of the engine's setup by its name: from the settings, else from the options."""
    from pytest_prunecal.lab.engines import Setup  # noqa: PLC0415 - likewise

    named = {**vars(settings.options), **vars(settings), "worker": worker}
    return Setup(**{field.name: named[field.name] for field in fields(Setup)})
