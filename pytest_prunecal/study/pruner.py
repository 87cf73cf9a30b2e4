"""What is known of a pruner without importing what it prunes with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Pruner:
    """One way to compress a trained network.

    Attributes:
        prune: the function that does it, or where that is, as `package.module:attribute`, which keeps torch
            out of processes that measure nothing. It is called with the trained network and, where the pruner
            takes one, a ratio or the name of a level; and with those of the offers that it names, see
            `pytest_prunecal.lab.pruners.context`. It leaves the network as it is and returns a
            `pytest_prunecal.Pruned`.
        slimming: the network must have been trained with an L1 penalty on its BN scales.
        levels: None for a pruner that takes a ratio, 0 <= ratio < 1, and prunes nothing at 0; names of levels
            for one that takes such a name; empty for one that takes neither and gives one cell.
        tunes: whether what it gives is fine-tuned as the protocol says; what is not has no training noise of
            its own: its function may not call `fine_tune`, and draws the same under every seed.
        extra: the optional extra that the function needs, one of `study.extras.EXTRAS`; empty for none.

    Example:
        A pruner that leaves everything as it is, whatever the ratio:

        >>> from copy import deepcopy
        >>> from pytest_prunecal import Pruned
        >>> idle = Pruner(lambda model, ratio: Pruned(deepcopy(model)))
        >>> idle.levels is None
        True
    """

    prune: Callable[..., Any] | str
    slimming: bool = False
    levels: tuple[str, ...] | None = None
    tunes: bool = True
    extra: str = ""
