"""Frost: procedural textures, since the photographs of the published generator are not ours to give away.

Five styles stand for its five photographs. Each has a photograph's mean colour and contrast as measured at
the size the generator uses them (a fifth), and a similar spectrum: about a third of the variance from
pixel to pixel, the rest spread over coarser and coarser, ridged structure.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from pytest_prunecal.lab.corruptions.filters import blur_scale
from pytest_prunecal.lab.corruptions.pixels import to_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_prunecal.lab.corruptions.draws import Draws

# Mean and standard deviation of red, green and blue; blue ice, twice white rime, grey and dark panes.
_STYLES = (
    ((78, 149, 166), (27, 16, 15)),
    ((201, 205, 214), (21, 22, 23)),
    ((201, 205, 214), (21, 22, 23)),
    ((138, 153, 166), (29, 29, 30)),
    ((112, 123, 135), (44, 43, 42)),
)
# Cell size in pixels of a 32-pixel image, share of the variance, whether it is folded into ridges.
_OCTAVES = ((32, 0.30, False), (8, 0.20, True), (4, 0.15, True), (1, 0.35, False))


def frost(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Blend with a frosted pane, image weight 1 to .75 and frost weight .2 to .45; uint8 (N, 3, H, W)."""
    clear, frosted = ((1.0, 0.20), (1.0, 0.30), (0.9, 0.40), (0.85, 0.40), (0.75, 0.45))[severity - 1]
    styles = torch.tensor(_STYLES, dtype=torch.float32, device=images.device)
    style = styles.index_select(0, (draws.lanes16(0, 1).squeeze(1) * len(_STYLES)) >> 16)
    mean, deviation = style[:, 0, :, None, None], style[:, 1, :, None, None]
    pane = _texture(images, draws).unsqueeze(1) * deviation + mean
    return to_bytes(images.float() * clear + pane.clamp_(0, 255) * frosted)


def _texture(images: Tensor, draws: Draws) -> Tensor:
    """A field of zero mean and unit variance, float32 (N, H, W): octaves of interpolated lattice noise."""
    count, _, height, width = images.shape
    total = torch.zeros(count, height, width, device=images.device)
    for stream, (cell, share, ridged) in enumerate(_OCTAVES, 1):
        size = cell * blur_scale(images)
        rows, columns = _lattice(height, size, images.device), _lattice(width, size, images.device)
        noise = draws.uniform(stream, rows[0] * columns[0]).view(count, rows[0], columns[0])
        if size == 1:
            noise = noise[:, :height, :width]
        else:
            for axis, (_, lower, fraction) in ((1, rows), (2, columns)):
                mix = fraction.view(-1, 1) if axis == 1 else fraction
                first, second = noise.index_select(axis, lower), noise.index_select(axis, lower + 1)
                noise = first * (1 - mix) + second * mix
        if ridged:
            noise = (noise - 0.5).abs_()
        middle, spread = _moments(ridged=ridged, smooth=size > 1)
        total += (noise - middle) * (math.sqrt(share) / spread)
    return total


@lru_cache(maxsize=64)
def _lattice(length: int, size: float, device: torch.device) -> tuple[int, Tensor, Tensor]:
    """Lattice points along an axis, and each pixel's lower point and the fraction past it."""
    positions = np.arange(length) / size
    lower = positions.astype(np.int64)
    fraction = torch.from_numpy(positions - lower).float().to(device)
    return int(lower[-1]) + 2, torch.from_numpy(lower).to(device), fraction


def _moments(*, ridged: bool, smooth: bool) -> tuple[float, float]:
    """Mean and standard deviation of an octave: uniform draws, interpolated if smooth, folded if ridged."""
    if ridged:
        return 0.1593, 0.1087
    return 0.5, 0.1925 if smooth else 12**-0.5
