"""Measuring a candidate: a finished network, evaluated as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_prunecal.lab.bench import Bench
    from pytest_prunecal.lab.over_seeds import Trial
    from pytest_prunecal.study.cell import Cell


def admit(cell: Cell, bench: Bench) -> None:
    """Load a candidate and run two images through it.

    Raises:
        PrunecalError: it cannot be loaded, or gives no logits of the data's classes; in one sentence.
    """
    raise NotImplementedError


def measure_candidate(cell: Cell, bench: Bench) -> Trial:
    """Evaluate a candidate on the clean and on every corrupted test set; nothing is trained.

    Raises:
        PrunecalError: something the user can mend, in one sentence.
    """
    raise NotImplementedError
