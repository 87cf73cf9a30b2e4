"""The `prunecal` fixture: the gate's measuring, for tests of one's own."""

from __future__ import annotations

from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate.engine import engine_of
from pytest_prunecal.gate.registry import check_model, check_pruner, levels_of
from pytest_prunecal.study.cell import Cell, canonical_ratio
from pytest_prunecal.study.text import lines

if TYPE_CHECKING:
    import pytest

    from pytest_prunecal.gate.settings import Settings
    from pytest_prunecal.study.measurement import Measurement


class Prunecal:
    """Measures cells under the session's protocol; see `measure`."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config, self._settings = config, settings

    def measure(
        self, model: str, pruner: str | None = None, ratio: float = 0.0, *, level: str = ""
    ) -> Measurement:
        """Prune, fine-tune and evaluate one cell.

        Args:
            model: a registered name, or `package.module:callable`.
            pruner: a registered name; None for the dense network.
            ratio: share of the network to remove, in [0, 1); 0 for the dense network, and for a pruner that
                takes none.
            level: name of the level, for a pruner that takes one.

        Returns:
            The measurement: `measurement["ece"]`.

        Raises:
            PrunecalError: something is not as it must be, in one sentence.
        """
        __tracebackhide__ = True  # what is wrong is in the line that calls this
        try:
            cell = self._cell(model, pruner, canonical_ratio(str(ratio)), level)
            return engine_of(self._config).measure(cell, self._settings.options.seeds or 1)
        except PrunecalError as error:
            raise PrunecalError(lines(str(error))) from None
        except Exception as error:  # noqa: BLE001 - whatever the user's own code raises
            raise error.with_traceback(_without_ours(error.__traceback__))  # noqa: B904 - the same error

    def _cell(self, model: str, pruner: str | None, ratio: float, level: str) -> Cell:
        check_model(model, self._settings.extensions)
        if pruner is not None:
            check_pruner(pruner, self._settings.extensions)
        elif ratio or level:
            what = f"level {level!r}" if level else f"ratio {ratio:g}"
            raise PrunecalError(f"{what} of {model!r} needs a pruner")
        levels = levels_of([pruner] if pruner else [], self._settings.extensions)
        if pruner is None or pruner not in levels:
            if level:
                raise PrunecalError(f"pruner {pruner!r} takes a ratio and no level, such as {level!r}")
            return Cell(model, pruner if ratio else None, ratio)
        if ratio:
            raise PrunecalError(f"pruner {pruner!r} takes no ratio, such as {ratio:g}")
        if level not in (levels[pruner] or ("",)):
            known = ", ".join(levels[pruner])
            wanted = f"takes one of its levels, {known}" if known else "takes no level"
            raise PrunecalError(f"pruner {pruner!r} {wanted}, and not {level!r}")
        return Cell(model, pruner, 0.0, level)


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    """The frames that are not this package's; all of them if there are no others."""
    ours, kept = Path(__file__).parents[1], None
    for frame, line in reversed([*walk_tb(traceback)]):
        if ours not in Path(frame.f_code.co_filename).parents:
            kept = TracebackType(kept, frame, frame.f_lasti, line)
    return kept or traceback
