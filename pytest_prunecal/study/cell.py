"""Cells: the points of the grid and the candidates beside it, and how they are named and ordered."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.builtin import PRUNERS
from pytest_prunecal.study.candidate import check_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DENSE = "dense"
CANDIDATE = "candidate"
MASKING = ("weight", "conv_weight", "gradual")
"""Pruners that make nothing smaller: their cells take as long at any ratio."""
_OPENING = 4  # two workers' first two cells each
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER_LIKE = re.compile(r"[-+.\d].*|nan|inf")


@dataclass(frozen=True)
class Cell:
    """One cell: a point of the grid or a candidate, hence one test.

    Attributes:
        model: a registered model's name, or `package.module:callable`; of a candidate any name.
        pruner: a registered pruner's name; None in the dense cell and for a candidate.
        ratio: share of the network to remove, in [0, 1); 0 in the dense cell, for a candidate, and where the
            pruner takes no ratio.
        level: name of the level of a pruner that takes one; empty for any other.
        candidate: name of a finished network that is measured as it is; empty for a cell of the grid.

    Example:
        >>> Cell("vgg19", "weight", 0.3).id, Cell("vgg19", None, 0.0).id
        ('weight-0.3', 'dense')
        >>> Cell("vgg19", "int8", 0.0).id, Cell("vgg19", "mine", 0.0, level="hard").id
        ('int8', 'mine-hard')
        >>> Cell("vgg19", None, 0.0, candidate="v2").id
        'candidate-v2'
    """

    model: str
    pruner: str | None
    ratio: float
    level: str = ""
    candidate: str = ""

    @property
    def id(self) -> str:
        """`weight-0.3`, `int8`, `mine-hard`, `candidate-v2` or `dense`.

        Unique within a model, and the cell's key in the baseline file.
        """
        if self.candidate:
            return f"{CANDIDATE}-{self.candidate}"
        if self.pruner is None:
            return DENSE
        if self.level:
            return f"{self.pruner}-{self.level}"
        return f"{self.pruner}-{self.ratio:g}" if self.ratio else self.pruner

    @property
    def dense(self) -> bool:
        """Whether it is the dense cell."""
        return self.pruner is None and not self.candidate


def canonical_ratio(text: str) -> float:
    """Read one pruning ratio.

    Args:
        text: what the user wrote, such as `0.3` or `.30`.

    Returns:
        The ratio rounded to the six significant digits that a cell id can carry, in [0, 1).

    Raises:
        PrunecalError: `text` is no number, or is outside [0, 1).

    Example:
        >>> canonical_ratio(".30")
        0.3
    """
    try:
        value = float(text)
    except ValueError:
        raise PrunecalError(f"ratio {text!r} is not a number; give ratios such as 0.3,0.5") from None
    if not math.isfinite(value) or not 0 <= value < 1 or float(f"{value:g}") == 1:
        raise PrunecalError(
            f"ratio {text.strip()} is outside [0, 1): it is the share of the network to remove"
        )
    return float(f"{value:g}") + 0.0  # + 0.0 turns -0.0 into 0.0


def unique_ratios(texts: Iterable[str]) -> tuple[float, ...]:
    """Read pruning ratios and refuse two spellings of one; see `canonical_ratio`."""
    ratios: list[float] = []
    for text in texts:
        ratio = canonical_ratio(text)
        if ratio in ratios:
            raise PrunecalError(f"ratio {ratio:g} is given twice; name each ratio once")
        ratios.append(ratio)
    return tuple(ratios)


def cell_from_id(model: str, cell_id: str) -> Cell:
    """Read a cell id back, as it stands in a baseline file.

    Raises:
        PrunecalError: `cell_id` is none of the forms of `Cell.id`, or not how that cell is named.

    Example:
        >>> cell_from_id("vgg19", "weight-0.3")
        Cell(model='vgg19', pruner='weight', ratio=0.3, level='', candidate='')
        >>> cell_from_id("vgg19", "int8").pruner, cell_from_id("vgg19", "candidate-v2").candidate
        ('int8', 'v2')
    """
    if cell_id == DENSE:
        return Cell(model, None, 0.0)
    pruner, _, text = cell_id.partition("-")
    if pruner == CANDIDATE:
        check_name(text, f"{cell_id!r}")
        return Cell(model, None, 0.0, candidate=text)
    row = PRUNERS.get(pruner)
    by_ratio = _NUMBER_LIKE.fullmatch(text) is not None or bool(text and row and row.levels is None)
    if row is not None:
        fits = by_ratio if row.levels is None else not text if not row.levels else text in row.levels
    else:
        reserved = pruner.lower() in (DENSE, CANDIDATE)
        fits = bool(_IDENTIFIER.fullmatch(pruner)) and not reserved
        fits = fits and (by_ratio or cell_id == pruner or bool(_IDENTIFIER.fullmatch(text)))
    if not fits:
        raise PrunecalError(
            f"{cell_id!r} is no cell id; write `dense`, `pruner-ratio` such as weight-0.3, the name of a "
            "pruner that takes no ratio such as int8, or `candidate-NAME`"
        )
    if not by_ratio:
        return Cell(model, pruner, 0.0, text)
    cell = Cell(model, pruner, canonical_ratio(text))
    if cell.ratio == 0 or cell.id != cell_id:
        wanted = DENSE if cell.ratio == 0 else cell.id
        raise PrunecalError(f"{cell_id!r} is not how this cell is named; write {wanted!r}")
    return cell


def grid(
    model: str,
    pruners: Sequence[str],
    ratios: Sequence[float],
    levels: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Cell]:
    """List one model's cells in the order in which they are measured.

    The dense cell first, as all compare themselves with it; then the longest first, so that no worker has a
    long one left when the others are done. Workers are handed two cells each to begin with, so the longest
    cell of the last pruner comes third: the second worker then starts on the base network that this pruner
    needs, which is often one of its own, instead of waiting for the first worker's.

    Args:
        model: the model's name.
        pruners: pruner names, in their canonical order.
        ratios: canonical ratios; 0 selects the dense cell, once and whatever the pruners.
        levels: by name of a pruner that takes no ratio, its levels; empty for a single cell.

    Example:
        >>> [cell.id for cell in grid("vgg19", ["weight", "filter"], [0, 0.3, 0.7])]
        ['dense', 'weight-0.3', 'filter-0.3', 'weight-0.7', 'filter-0.7']
    """
    by_ratio = [pruner for pruner in pruners if pruner not in levels]
    cells = [Cell(model, pruner, ratio) for ratio in sorted(ratios) if ratio > 0 for pruner in by_ratio]
    cells += [
        Cell(model, one, 0.0, level) for one in pruners if one in levels for level in levels[one] or ("",)
    ]
    cells.sort(key=length, reverse=True)  # stable: pruners stay in their order
    if 0 in ratios:
        cells.insert(0, Cell(model, None, 0.0))
    others = [cell for cell in cells if cell.pruner == by_ratio[-1]] if len(by_ratio) > 1 else []
    if others:
        cells.remove(others[0])
        cells.insert(2, others[0])
    return cells


def length(cell: Cell) -> float:
    """How long a cell takes, as a share of what training the dense network would: an estimate."""
    return 1.0 if cell.pruner in MASKING else (1 - cell.ratio) ** 2


def interleaved(models: Sequence[Sequence[Cell]]) -> list[Cell]:
    """Order the cells of several models for several workers: each base network's first, then by length.

    Args:
        models: each one's cells, in the order of `grid`.
    """
    first = [cell for cells in models for cell in cells[:_OPENING]]
    rest = [cell for cells in models for cell in cells[_OPENING:]]
    return first + sorted(rest, key=length, reverse=True)


def canonical_order(cell: Cell, pruners: Sequence[str]) -> tuple[int, str, float, str]:
    """Sort key for people: dense first, then pruner by pruner, ratios ascending, then candidates by name."""
    if cell.candidate:
        return (len(pruners) + 1, "", 0.0, cell.candidate)
    if cell.pruner is None:
        return (-1, "", 0.0, "")
    rank = pruners.index(cell.pruner) if cell.pruner in pruners else len(pruners)
    return (rank, cell.pruner, cell.ratio, cell.level)


def baseline_name(model: str) -> str:
    """File name, without suffix, of a model's baseline: `package.module:net` lies in `package.module.net`."""
    return model.replace(":", ".")
