"""What kind of file a candidate is, told from its first bytes without loading it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_prunecal.study.candidate import Candidate


def check(candidate: Candidate, *, registered: bool) -> None:
    """Refuse a candidate that could not be measured, as far as its file's head and what is installed tell.

    Args:
        candidate: a file or a builder.
        registered: whether something builds its model's networks.

    Raises:
        PrunecalError: in one sentence, with the way out.
    """
    raise NotImplementedError
