"""Loaded by every run of this repository's pytest, the gate's too, so it imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["pytester"]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small operations are faster alone; threads that wait for a shared core can cost seconds."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
