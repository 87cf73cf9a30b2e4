"""Zoom blur, and the enlargement of a centre crop that it shares with snow."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from pytest_prunecal.lab.corruptions.pixels import FRACTION_BITS, integer_weights, pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pytest_prunecal.lab.corruptions.draws import Draws


class Crop(NamedTuple):
    """An axis filled from its enlarged centre: position i lies `fraction[i]` past crop pixel `lower[i]`."""

    size: int
    lower: NDArray[np.int64]
    fraction: NDArray[np.float64]


def enlarged(length: int, factor: float) -> Crop:
    """Where the pixels of an axis of `length` come from when its centre is enlarged by `factor` >= 1.

    The crop is the least whole number of pixels that fills the axis; its end pixels stay end pixels, and
    what the enlarged crop has too many is trimmed on both sides.
    """
    size = math.ceil(length / factor)
    full = round(size * factor)
    positions = (np.arange(length) + (full - length) // 2) * ((size - 1) / max(1, full - 1))
    lower = np.minimum(positions.astype(np.int64), max(0, size - 2))
    return Crop(size, lower, (positions - lower).astype(np.float64))


def zoom_blur(images: Tensor, severity: int, draws: Draws) -> Tensor:  # noqa: ARG001 (nothing is random)
    """Average over zooms from 1 to 1.06 ... 1.26 in steps of .01, and the image again; uint8 (N, 3, H, W).

    Enlarged crops are whole numbers of pixels, so that an 8-pixel image is left as it is at severity 1.
    """
    end = (1.06, 1.11, 1.16, 1.21, 1.26)[severity - 1]
    count, _, height, width = images.shape
    sources, weights = _taps(height, width, end, images.device)
    # A row for each pixel: taking a pixel of all images is one copy.
    pixels = pack(images).view(count, -1).t().contiguous()
    total = torch.zeros_like(pixels)
    for source, weight in zip(sources, weights, strict=True):
        total += pixels.index_select(0, source).mul_(weight)
    return unpack(total.t().reshape(count, height, width), FRACTION_BITS)


@lru_cache(maxsize=10)
def _taps(height: int, width: int, end: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Source pixel and weight of each output pixel's taps, int64 (taps, H * W) and (taps, H * W, 1).

    The whole average is one sparse linear map; a pixel's many zooms mostly fall on the same few pixels.
    """
    pixels = height * width
    here = np.arange(pixels)
    keys, values = [here * pixels + here], [np.ones(pixels)]
    # numpy's own steps: rounding errors include 1.06 and make 1.25 the least bit more than that.
    for zoom in np.arange(1, end, 0.01).tolist():
        rows = _corners(height, zoom)
        columns = _corners(width, zoom)
        for row, row_weight in rows:
            for column, column_weight in columns:
                keys.append((here * pixels) + (row[:, None] * width + column).ravel())
                values.append((row_weight[:, None] * column_weight).ravel())
    unique, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    weight = np.bincount(inverse, np.concatenate(values))
    unique, weight = unique[weight > 0], weight[weight > 0]
    target = unique // pixels
    rank = np.arange(len(target)) - np.searchsorted(target, target)
    sources = np.tile(here, (rank.max() + 1, 1))
    weights = np.zeros(sources.shape)
    sources[rank, target] = unique % pixels
    weights[rank, target] = weight
    whole = torch.from_numpy(integer_weights(weights)).unsqueeze(2)
    return torch.from_numpy(sources).to(device), whole.to(device)


def _corners(length: int, factor: float) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    crop = enlarged(length, factor)
    first = crop.lower + (length - crop.size) // 2
    return [(first, 1 - crop.fraction), (np.minimum(first + 1, length - 1), crop.fraction)]
