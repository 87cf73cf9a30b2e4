"""Mean pixels of corrupted sets, taken while a network is evaluated on them: no set is made for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from pytest_prunecal.lab.evaluation.evaluate import Images, TestSet


def set_name(corruption: str, severity: int | str) -> str:
    """How a corrupted set is called: `fog 1`."""
    return f"{corruption} {severity}"


class Pixels:
    """Corrupted sets whose pixels are summed as they are taken, slice by slice.

    Args:
        sets: of these, whether they are kept, read from files or made in passing.
    """

    def __init__(self, sets: Iterable[TestSet]) -> None:
        self._sets = sets
        self._summed: dict[str, _Summed] = {}

    def __iter__(self) -> Iterator[TestSet]:
        """The same sets in their order."""
        for one in self._sets:
            summed = _Summed(one.images)
            self._summed[set_name(one.corruption, one.severity)] = summed
            yield replace(one, images=summed)

    @property
    def means(self) -> dict[str, float]:
        """Mean pixel of each set that was taken as a whole, in [0, 1]."""
        return {name: summed.mean for name, summed in self._summed.items()}


class _Summed:
    """Images that are summed as they are taken."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._sums: dict[int, tuple[Tensor, int]] = {}

    def __len__(self) -> int:
        """Count the images."""
        return len(self._images)

    def __getitem__(self, part: slice) -> Tensor:
        """Give some of the images: uint8 (n, 3, H, W)."""
        found = self._images[part]
        # By where it starts: after a pass without memory the same images are taken again, fewer at a time.
        self._sums[part.start] = found.sum(dtype=torch.int64), found.numel()
        return found

    @property
    def mean(self) -> float:
        total = sum(int(pixels) for pixels, _ in self._sums.values())
        return total / (255 * max(sum(count for _, count in self._sums.values()), 1))
