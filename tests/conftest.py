"""Loaded by every run of this repository's pytest, the gate's too, so it imports no torch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from subprocess import Popen

pytest_plugins = ["pytester"]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small operations are faster alone; threads that wait for a shared core can cost seconds."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def patience() -> int:
    """Seconds after which another process must be hanging: so slow no machine is, however busy."""
    return 1200


@pytest.fixture(scope="session")
def wait_until(patience: int) -> Callable[..., None]:
    """Wait for what other processes do, however long they take; fails at once if one of them ends before."""

    def wait(done: Callable[[], object], *processes: Popen[str]) -> None:
        given_up = time.monotonic() + patience
        while not done():
            assert all(process.poll() is None for process in processes) or done(), "it ended too early"
            assert time.monotonic() < given_up, "it hangs"
            time.sleep(0.01)

    return wait
