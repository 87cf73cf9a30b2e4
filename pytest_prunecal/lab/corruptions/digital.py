"""Pixelation and JPEG compression."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_prunecal.lab.corruptions.draws import Draws


def pixelate(images: Tensor, severity: int, draws: Draws) -> Tensor:  # noqa: ARG001 (nothing is random)
    """Shrink by box averaging to .95 to .65 of the size and enlarge to blocks again; uint8 (N, 3, H, W).

    Equal to pillow's BOX resizing there and back, which averages one or two pixels per axis.
    """
    factor = (0.95, 0.90, 0.85, 0.75, 0.65)[severity - 1]
    values = images.to(torch.int16)
    for axis in (3, 2):
        first, last = _blocks(images.shape[axis], factor, images.device)
        values = (values.index_select(axis, first) + values.index_select(axis, last) + 1) >> 1
    return values.to(torch.uint8)


@lru_cache(maxsize=64)
def _blocks(size: int, factor: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """The first and the last pixel of the average that each pixel of an axis becomes, int64 (size,)."""
    small = int(size * factor)
    centres = (np.arange(small) + 0.5) * (size / small)
    half = 0.5 * size / small
    first = np.maximum(np.floor(centres - half + 0.5).astype(np.int64), 0)
    last = np.minimum(np.floor(centres + half + 0.5).astype(np.int64), size) - 1
    shown = ((np.arange(size) + 0.5) * (small / size)).astype(np.int64)
    return torch.from_numpy(first[shown]).to(device), torch.from_numpy(last[shown]).to(device)


def jpeg_compression(images: Tensor, severity: int, draws: Draws) -> Tensor:  # noqa: ARG001 (nothing is random)
    """Compress and decompress at a quality of 80 to 40, by pillow on the CPU; uint8 (N, 3, H, W).

    Calls pillow's codec alone, as `Image.save` and `Image.open` do after more work than the codec's.
    """
    quality = (80, 65, 58, 50, 40)[severity - 1]
    height, width = images.shape[2:]
    result = np.empty((len(images), height, width, 3), dtype=np.uint8)
    for row, image in enumerate(images.permute(0, 2, 3, 1).contiguous().cpu().numpy()):
        compressed = Image.frombytes("RGB", (width, height), image.tobytes()).tobytes("jpeg", "RGB", quality)
        decoded = Image.frombytes("RGB", (width, height), compressed, "jpeg", "RGB", "")
        result[row] = np.frombuffer(decoded.tobytes(), dtype=np.uint8).reshape(height, width, 3)
    return torch.from_numpy(result).permute(0, 3, 1, 2).to(images.device)
