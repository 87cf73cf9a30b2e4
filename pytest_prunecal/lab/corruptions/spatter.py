"""Spatter: drops of water, or specks of mud, on the lens.

Water is drawn the way the published generator draws it with OpenCV: drops are lit by an emboss filter of
the distance to their outlines. The image operations it takes are written out here for whole batches.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import pad as constant_pad

from pytest_prunecal.lab.corruptions.filters import blur_scale, box3, gaussian, mirror, pad, replicate
from pytest_prunecal.lab.corruptions.pixels import to_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_prunecal.lab.corruptions.draws import Draws

_FARTHEST = 20.0
_WATER = (175, 238, 238)
_MUD = (63, 42, 20)
# Borgefors' chamfer distances of a 5 x 5 neighbourhood: straight, diagonal, knight's move.
_STEPS = {
    1.0: ((0, 1), (1, 0), (0, -1), (-1, 0)),
    1.4: ((1, 1), (1, -1), (-1, 1), (-1, -1)),
    2.1969: ((1, 2), (1, -2), (-1, 2), (-1, -2), (2, 1), (2, -1), (-2, 1), (-2, -1)),
}


def spatter(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Splash water (severities 1 to 3) or mud (4 and 5) on the image; uint8 (N, 3, H, W)."""
    mean, deviation, sigma, threshold, blend, mud_sigma = (
        (0.62, 0.1, 0.7, 0.70, 0.5, 0.0),
        (0.65, 0.1, 0.8, 0.70, 0.5, 0.0),
        (0.65, 0.3, 1.0, 0.69, 0.5, 0.0),
        (0.65, 0.1, 0.7, 0.69, 1.0, 0.6),
        (0.65, 0.1, 0.5, 0.68, 1.0, 0.6),
    )[severity - 1]
    count, _, height, width = images.shape
    size = blur_scale(images)
    # Larger images get the spatter of a 32-pixel image, enlarged.
    rows, columns = math.ceil(height / size), math.ceil(width / size)
    noise = draws.normal(0, rows * columns).view(count, rows, columns) * deviation + mean
    liquid = gaussian(noise, sigma)
    wet = liquid >= threshold
    if mud_sigma:
        cover = gaussian(wet.float(), mud_sigma)
        cover = torch.where(cover < 0.8, 0.0, cover)
    else:
        cover = _lit(torch.where(wet, (liquid * 255).clamp_(0, 255).floor_(), 0.0)) * blend
    cover = _enlarge(cover, height, width).unsqueeze(1)
    colour = torch.tensor(_MUD if mud_sigma else _WATER, dtype=torch.float32, device=images.device)
    values = images.float()
    if mud_sigma:
        values = values * (1 - cover)
    return to_bytes(values + cover * colour.view(1, 3, 1, 1))


def _lit(drops: Tensor) -> Tensor:
    """Brightness 0 ... 1 of drops of the levels 0 ... 255, (N, H, W): brightest spot one in each image."""
    distance = _distance(_outlines(drops))
    level = _equalised((box3(distance) * (1 / 9)).floor_().to(torch.int64)).float()
    emboss = {(-1, -1): -2, (-1, 0): -1, (0, -1): -1, (0, 0): 1, (0, 1): 1, (1, 0): 1, (1, 1): 2}
    total, near = torch.zeros_like(level), _neighbours(pad(level, 1, mirror))
    for step, weight in emboss.items():
        total += near[step] * weight
    lit = drops * (box3(total.clamp_(0, 255)) * (1 / 9) + 0.5).floor_()
    return lit / lit.amax((1, 2), keepdim=True).clamp(min=1)


def _outlines(drops: Tensor) -> Tensor:
    """Canny's edges, bool (N, H, W): ridges of the gradient above 50 that touch one above 150."""
    near = _neighbours(pad(drops, 1, replicate))
    across, along = torch.zeros_like(drops), torch.zeros_like(drops)
    for step in (-1, 0, 1):
        weight = 2 - abs(step)
        across += (near[step, 1] - near[step, -1]) * weight
        along += (near[1, step] - near[-1, step]) * weight
    strength = across.abs() + along.abs()
    near = _neighbours(constant_pad(strength, (1, 1, 1, 1)))
    rising_line = (strength > near[-1, -1]) & (strength > near[1, 1])
    falling_line = (strength > near[-1, 1]) & (strength > near[1, -1])
    ridge = torch.where((across < 0) ^ (along < 0), falling_line, rising_line)
    # The direction of the gradient is rounded to 45 degrees: tan(67.5) and tan(22.5) part the cases.
    steep = along.abs() > across.abs() * 2.414213562
    ridge = torch.where(steep, (strength > near[-1, 0]) & (strength >= near[1, 0]), ridge)
    flat = along.abs() < across.abs() * 0.414213562
    ridge = torch.where(flat, (strength > near[0, -1]) & (strength >= near[0, 1]), ridge)
    weak, edges = ridge & (strength > 50), ridge & (strength > 150)
    while True:
        touched = torch.stack(list(_neighbours(constant_pad(edges, (1, 1, 1, 1))).values())).any(0)
        grown = touched & weak
        if torch.equal(grown, edges):
            return edges
        edges = grown


def _distance(edges: Tensor) -> Tensor:
    """Chamfer distance to the nearest edge, at most 20, float32 (N, H, W): relaxed until nothing changes."""
    distance = torch.where(edges, 0.0, _FARTHEST)
    while True:
        near = _neighbours(constant_pad(distance, (2, 2, 2, 2), value=_FARTHEST), 2)
        nearer = distance.clone()
        for length, steps in _STEPS.items():
            for step in steps:
                torch.minimum(nearer, near[step] + length, out=nearer)
        if torch.equal(nearer, distance):
            return distance
        distance = nearer


def _equalised(levels: Tensor) -> Tensor:
    """Histogram equalisation of each image, int64 (N, H, W) of 0 ... 20 -> 0 ... 255."""
    bins = torch.arange(int(_FARTHEST) + 1, device=levels.device)
    histogram = torch.stack([(levels == level).sum((1, 2)) for level in bins.tolist()], dim=1)
    first = levels.amin((1, 2)).unsqueeze(1)
    lowest = histogram.gather(1, first)
    cumulated = histogram.cumsum(1) - lowest
    total = levels[0].numel() - lowest
    table = torch.where(bins < first, 0, (cumulated * 510 + total) // (2 * total).clamp(min=1))
    table = torch.where(total > 0, table, bins)
    return table.gather(1, levels.flatten(1)).view(levels.shape)


def _neighbours(padded: Tensor, reach: int = 1) -> dict[tuple[int, int], Tensor]:
    """Views of (N, H + 2 reach, W + 2 reach) by (down, right): each pixel's neighbour there, (N, H, W)."""
    height, width = padded.shape[1] - 2 * reach, padded.shape[2] - 2 * reach
    around = range(-reach, reach + 1)
    return {
        (down, right): padded.narrow(1, reach + down, height).narrow(2, reach + right, width)
        for down in around
        for right in around
    }


def _enlarge(layer: Tensor, height: int, width: int) -> Tensor:
    """Linear interpolation of (N, h, w) to (N, height, width), corners kept."""
    for axis, length in ((1, height), (2, width)):
        count = layer.shape[axis]
        if count == length:
            continue
        positions = torch.arange(length, dtype=torch.float64) * ((count - 1) / (length - 1))
        lower = positions.to(torch.int64).clamp_(max=count - 2)
        mix = (positions - lower).float().to(layer.device)
        mix = mix.view(-1, 1) if axis == 1 else mix
        lower = lower.to(layer.device)
        layer = layer.index_select(axis, lower) * (1 - mix) + layer.index_select(axis, lower + 1) * mix
    return layer
