"""Augmentation of training images as batched tensor work."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """Zero-padding, random crop back to size, random horizontal flip (He et al. 2016, section 4.2).

    Attributes:
        pad: pixels of zero-padding on each side; 0 for no crop.
        flip: whether half of the images are mirrored.
    """

    pad: int
    flip: bool

    def padded(self, images: Tensor) -> Tensor:
        """Pad all images once, before any epoch: (N, C, H, W) to (N, C, H + 2 pad, W + 2 pad)."""
        return functional.pad(images, (self.pad,) * 4)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw one epoch's crops and flips: int64 (count, 3) of row, column and mirrored, on the CPU."""
        corners = torch.randint(0, 2 * self.pad + 1, (count, 2), generator=generator)
        mirrored = torch.randint(0, 2, (count, 1), generator=generator) * int(self.flip)
        return torch.cat([corners, mirrored], dim=1)

    def apply(self, padded: Tensor, chosen: Tensor, draws: Tensor) -> Tensor:
        """Crop and mirror some of the padded images.

        Args:
            padded: uint8 (N, C, H + 2 pad, W + 2 pad).
            chosen: int64 (B,), which of them.
            draws: int64 (B, 3), as from `draw`, on the same device.

        Returns:
            uint8 (B, C, H, W).
        """
        if not self.pad and not self.flip:
            return padded[chosen]
        height, width = padded.shape[2] - 2 * self.pad, padded.shape[3] - 2 * self.pad
        # All crops there are, as a view: (N, C, 2 pad + 1, 2 pad + 1, H, W).
        crops = padded.unfold(2, height, 1).unfold(3, width, 1)
        batch = crops[chosen, :, draws[:, 0], draws[:, 1]]
        if not self.flip:
            return batch
        return torch.where(draws[:, 2, None, None, None] == 1, batch.flip(-1), batch)
