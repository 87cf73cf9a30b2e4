"""Engines: where measuring runs. An engine is one file here and one line in `study.builtin.ENGINES`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pytest_prunecal.lab.setup import Setup

if TYPE_CHECKING:
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.measurement import Measurement
    from pytest_prunecal.study.trace import Jitter

__all__ = ["Engine", "Setup", "start"]


class Engine(Protocol):
    """Measures cells: all that a session calls of an engine.

    A session has one engine a process, in front of which stands what reuses stored numbers (see `start`). The
    class is called with `(setup, store, sources)` when something must be measured or asked for that
    the store cannot answer, and not before: it may import torch, and it may raise PrunecalError. Then its
    methods are called, one after the other.

    Numbers must not depend on which engine it is: what one of them measured is reused whatever measures now.
    Whatever a method raises fails the cell that is measured and is shown to the user, a PrunecalError as one
    sentence, anything else with its traceback; neither ends the session.
    """

    @property
    def device(self) -> str:
        """Where it measures: `cpu`, or the name of the GPU. Engines of one device agree to the last bit."""
        ...

    @property
    def data(self) -> str:
        """Digest of the images, and of published corrupted ones; asked for before the first cell is measured.

        Only where the data's files cannot tell (see `identity.data_of`), so it may load them, and fetch them.
        """
        ...

    def admit(self, cell: Cell) -> None:
        """Make sure, before anything is measured, that a candidate can be; raises PrunecalError if not.

        Asked in the process that configures the session, which may measure nothing itself.
        """
        ...

    def measure(self, cell: Cell, seeds: int = 1, *, one_base: bool = False) -> Measurement:
        """Measure one cell over the protocol's seed and those that follow it.

        With `one_base` all start from the first one's base network, even where each would train its own.

        A session may ask again for more seeds of the cell that it asked for last, and then for its jitter.
        Meanwhile other processes that want the same cell wait, for what is then in the store.
        """
        ...

    def trained_bases(self, cell: Cell, seeds: int, *, one_base: bool = False) -> list[str]:
        """Places in the store of the base networks that were trained for a cell; none if they were given.

        Asked after the cell was measured: what is kept of it counts as long as these are what they were. An
        OSError means that it cannot be kept.
        """
        ...

    def jitter(self, cell: Cell, repeats: int, measured: Measurement | None = None) -> Jitter:
        """Repeat a cell's first seed from weights that are moved by 1e-7: how far float arithmetic moves it.

        Args:
            cell: the cell.
            repeats: how many whole cells are measured for it; 0 for no more than its trace needs.
            measured: a measurement of the cell, over however many seeds; None to measure it first.
        """
        ...


def start(setup: Setup, engine: str = "local") -> Engine:
    """Start a session's engine: it gives what the store has, and measures the rest. Imports no torch.

    Args:
        setup: what to measure with.
        engine: what measures, one of `study.builtin.ENGINES`.

    Raises:
        PrunecalError: there is no such store, and none can be made.
    """
    from pytest_prunecal.lab.engines.reusing import ReusingEngine  # noqa: PLC0415 - which imports this module

    return ReusingEngine(setup, engine)
