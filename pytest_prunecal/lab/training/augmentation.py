"""From uint8 images to what a network sees: normalisation and augmentation as batched tensor work."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Normalisation:
    """Per-channel affine map from uint8 to the network's input.

    Attributes:
        mean: of images in [0, 1], one number a channel.
        std: likewise, positive.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, images: Tensor) -> Tensor:
        """Turn uint8 (N, C, H, W) into float32 of mean 0 and deviation 1: (x / 255 - mean) / std."""
        mean, std = _by_channel(self.mean, images.device), _by_channel(self.std, images.device)
        return (images / 255).sub_(mean).div_(std)


@lru_cache(maxsize=16)
def _by_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A constant on the device, float32 (C, 1, 1): sent there once, as every sending makes a GPU wait."""
    return torch.tensor(values, device=device).view(-1, 1, 1)


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
