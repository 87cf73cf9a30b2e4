"""What a process knows of its session through pytest's `config`. Every pytest run imports this module."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

SETTINGS: pytest.StashKey[Any] = pytest.StashKey()
"""The session's `gate.settings.Settings`; absent where the plugin is not used."""

ENGINE: pytest.StashKey[Any] = pytest.StashKey()
"""The session's `lab.engines.Engine`; absent until something is measured."""

BEGAN = "prunecal-began"


class Began:
    """When a session began, before it imported anything of the user's."""

    def __init__(self) -> None:
        self.time = time.time()


def worker_of(config: pytest.Config) -> int | None:
    """Number of this process among xdist's workers, from 0; None if it is none: it gathers and writes."""
    sent: dict[str, str] | None = getattr(config, "workerinput", None)
    return None if sent is None else int(re.sub(r"\D", "", sent["workerid"]) or 0)


def runxfail(config: pytest.Config) -> bool:
    """Whether an expected failure fails: with --runxfail, or without the plugin of pytest that knows them."""
    return bool(config.getoption("runxfail", default=True))
