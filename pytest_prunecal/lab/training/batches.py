"""Training images in batches, normalised and as they are: for calibration and for training of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pytest_prunecal.lab.randomness import generator_of
from pytest_prunecal.lab.training.loop import steps_per_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from pytest_prunecal.lab.forward import Forward


class Batches:
    """Pairs of images, float32 (n, 3, H, W), and labels, int64 (n,), in the same random order every time.

    Args:
        images: uint8 (N, 3, H, W), on the device that batches are wanted on.
        labels: int64 (N,), likewise.
        batch: images a batch; a last one of a single image is left out, as training leaves it out.
        forward: normalises them.
        what: what they are for; the order depends on it alone.
    """

    def __init__(self, images: Tensor, labels: Tensor, batch: int, forward: Forward, *what: object) -> None:
        self._images, self._labels, self._batch, self._forward = images, labels, batch, forward
        self._what = what

    def __len__(self) -> int:
        """Count the batches."""
        return steps_per_epoch(len(self._labels), self._batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through them once."""
        order = torch.randperm(len(self._labels), generator=generator_of(*self._what)).to(self._labels.device)
        for start in range(0, len(self) * self._batch, self._batch):
            chosen = order[start : start + self._batch]
            yield self._forward.inputs(self._images[chosen]), self._labels[chosen]
