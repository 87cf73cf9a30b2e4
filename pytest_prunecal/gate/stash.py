"""What a session keeps on pytest's `config`: its settings, and when it began."""

from __future__ import annotations

import time
from typing import Any

import pytest

SETTINGS: pytest.StashKey[Any] = pytest.StashKey()
"""The session's `gate.settings.Settings`; absent where the plugin is not used."""

BEGAN = "prunecal-began"


class Began:
    """When a session began, before it imported anything of the user's."""

    def __init__(self) -> None:
        self.time = time.time()
