"""Snow and fog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pytest_prunecal.lab.corruptions.filters import blur_scale, scale
from pytest_prunecal.lab.corruptions.motion import streak
from pytest_prunecal.lab.corruptions.pixels import FRACTION_BITS, to_bytes
from pytest_prunecal.lab.corruptions.zoom import enlarged

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_prunecal.lab.corruptions.draws import Draws


def snow(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Whiten the scene and let streaks of snow fall, and their half-turn; uint8 (N, 3, H, W)."""
    mean, deviation, zoom, threshold, radius, sigma, blend = (
        (0.10, 0.2, 1.00, 0.60, 8, 3, 0.95),
        (0.10, 0.2, 1.00, 0.50, 10, 4, 0.90),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.90),
        (0.25, 0.3, 2.25, 0.60, 12, 6, 0.85),
        (0.30, 0.3, 1.25, 0.65, 14, 12, 0.80),
    )[severity - 1]
    length = max(0.5, scale(images))
    flakes = _flakes(images, mean, deviation, zoom * blur_scale(images), draws)
    flakes = torch.where(flakes < threshold, 0.0, flakes).clamp_(0, 1)
    drawn = (flakes * 255).to(torch.int32)
    streaks = streak(drawn, radius * length, sigma * length, (-135, -45), draws, stream=1)
    fallen = (streaks >> FRACTION_BITS).float().unsqueeze(1)
    values = images.float()
    red, green, blue = values.unbind(1)
    grey = (red * 0.299 + green * 0.587 + blue * 0.114).unsqueeze(1)
    whitened = torch.maximum(values, grey * 1.5 + 127.5)
    return to_bytes(values * blend + whitened * (1 - blend) + fallen + fallen.flip((2, 3)))


def _flakes(images: Tensor, mean: float, deviation: float, zoom: float, draws: Draws) -> Tensor:
    """Normal noise, enlarged from its centre crop by linear interpolation, float32 (N, H, W)."""
    count, _, height, width = images.shape
    down, right = enlarged(height, zoom), enlarged(width, zoom)
    noise = draws.normal(0, down.size * right.size).view(count, down.size, right.size) * deviation + mean
    if zoom == 1:
        return noise
    for axis, crop in ((1, down), (2, right)):
        lower = torch.from_numpy(crop.lower).to(images.device)
        upper = (lower + 1).clamp_(max=crop.size - 1)
        fraction = torch.from_numpy(crop.fraction).float().to(images.device)
        fraction = fraction.view(-1, 1) if axis == 1 else fraction
        first, second = noise.index_select(axis, lower), noise.index_select(axis, upper)
        noise = first * (1 - fraction) + second * fraction
    return noise


def fog(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Add a plasma fractal of .2 to 1.5 full scales and darken so that it fits; uint8 (N, 3, H, W)."""
    strength, decay = ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75))[severity - 1]
    _, _, height, width = images.shape
    side = 1 << (max(height, width) - 1).bit_length()
    haze = _plasma(side, decay, draws)[:, :height, :width].unsqueeze(1) * (strength * 255)
    values = images.float()
    peak = values.amax((1, 2, 3), keepdim=True)
    return to_bytes((values + haze) * (peak / (peak + strength * 255)))


def _plasma(side: int, decay: float, draws: Draws) -> Tensor:
    """Diamond-square height maps on a torus, each scaled to 0 ... 1, float32 (N, side, side).

    Every level sets the centres of its squares, then the middles of their edges, to the mean of four
    neighbours and a uniform draw, whose range shrinks by `decay` squared from level to level.
    """
    draw = draws.uniform(0, side * side).view(-1, side, side) * 2 - 1
    heights = torch.zeros_like(draw)
    step, roughness = side, 10_000.0
    while step > 1:
        half = step // 2
        corners = heights[:, ::step, ::step]
        below = corners + corners.roll(-1, 1)
        wobble = draw[:, half::step, half::step] * roughness
        heights[:, half::step, half::step] = (below + below.roll(-1, 2)) * 0.25 + wobble
        centres = heights[:, half::step, half::step]
        across = centres + centres.roll(1, 1) + (corners + corners.roll(-1, 2))
        heights[:, ::step, half::step] = across * 0.25 + draw[:, ::step, half::step] * roughness
        along = centres + centres.roll(1, 2) + (corners + corners.roll(-1, 1))
        heights[:, half::step, ::step] = along * 0.25 + draw[:, half::step, ::step] * roughness
        step, roughness = half, roughness / decay**2
    lowest, highest = heights.amin((1, 2), keepdim=True), heights.amax((1, 2), keepdim=True)
    return (heights - lowest) / (highest - lowest)
