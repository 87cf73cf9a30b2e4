"""Elastic transformation: a random affine map, then a smooth random displacement of every pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pytest_prunecal.lab.corruptions.filters import gaussian, mirror, reflect, scale
from pytest_prunecal.lab.corruptions.pixels import lanes, pack, unpack

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_prunecal.lab.corruptions.draws import Draws
    from pytest_prunecal.lab.corruptions.filters import Fold

_STEPS = 32  # positions are rounded to 1 / 32 pixel, so that the weights of four pixels are integers


def elastic_transform(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Move three corners of a centre square by up to .03 to .08 of the size, then wobble; uint8 (N, 3, H, W).

    Mild severities have the larger affine part, so the distance to the clean image falls with severity.
    """
    corner, alpha, sigma = (
        (2.56, 0.0, 0.0),
        (2.24, 1.6, 6.4),
        (1.92, 2.56, 1.92),
        (1.60, 3.2, 1.28),
        (0.96, 3.2, 0.96),
    )[severity - 1]
    count, _, height, width = images.shape
    size = scale(images)
    down, right = _affine(height, width, corner * size, draws)
    # Eleven bits for the result: its lanes times the second weights, 1024 in all, still fit 21.
    warped = (_bilinear(pack(images), down, right, mirror) >> 7) & lanes((1 << 11) - 1)
    if alpha:
        noise = draws.uniform(1, 2 * height * width).view(count, 2, height, width) * 2 - 1
        # Smoothing over s times the length divides the noise by s: hence alpha by the square.
        shift = gaussian(noise, sigma * size, truncate=3.0, fold=reflect) * (alpha * size * size)
    else:
        shift = torch.zeros(count, 2, 1, 1, device=images.device)
    down = torch.arange(height, device=images.device).view(-1, 1) + shift[:, 0]
    right = torch.arange(width, device=images.device) + shift[:, 1]
    result = _bilinear(warped, down, right, reflect) if alpha else warped << 10
    return unpack(result, 13)


def _affine(height: int, width: int, amount: float, draws: Draws) -> tuple[Tensor, Tensor]:
    """Where in the image each pixel of the result lies, float32 (N, H, W) down and right.

    Three corners of the square (bottom right, top right, top left) are moved by up to `amount` per axis.
    """
    half = min(height, width) // 3
    moves = (draws.uniform(0, 6).double() * 2 - 1) * amount
    x0, y0, x1, y1, x2, y2 = (moves[:, column].view(-1, 1, 1) for column in range(6))
    middle_x, middle_y = width // 2, height // 2
    # Relative to the second corner: the moved square's two edges, and their cross product.
    up_x, up_y = x0 - x1, y0 - y1 + 2 * half
    left_x, left_y = x1 - x2 + 2 * half, y1 - y2
    scaling = 2 * half / (up_x * left_y - up_y * left_x)
    x = torch.arange(width, device=moves.device) - (x1 + (middle_x + half))
    y = torch.arange(height, device=moves.device).view(-1, 1) - (y1 + (middle_y - half))
    # Double precision for a row and a column; float32 for the whole image.
    down = (x * (left_y * scaling)).float() - (y * (left_x * scaling) - (middle_y - half)).float()
    right = (y * (up_x * scaling)).float() - (x * (up_y * scaling) - (middle_x + half)).float()
    return down, right


def _bilinear(packed: Tensor, down: Tensor, right: Tensor, fold: Fold) -> Tensor:
    """Packed pixels (N, H, W) at float positions (N, H, W), times 1024; `fold` maps outside inside."""
    count, height, width = packed.shape
    top, left = (at.mul(_STEPS).add_(0.5).floor_().to(torch.int32).view(count, -1) for at in (down, right))
    down, right = top & (_STEPS - 1), left & (_STEPS - 1)
    top, left = top >> 5, left >> 5
    image = torch.arange(count, dtype=torch.int32, device=packed.device).unsqueeze(1) * (height * width)
    rows = [fold(at, height).mul_(width).add_(image) for at in (top, top + 1)]
    columns = [fold(at, width) for at in (left, left + 1)]
    pixels = packed.reshape(-1)
    total = torch.zeros(count, height * width, dtype=torch.int64, device=packed.device)
    for row, row_weight in zip(rows, (_STEPS - down, down), strict=True):
        for column, column_weight in zip(columns, (_STEPS - right, right), strict=True):
            weight = (row_weight * column_weight).to(torch.int64)
            total += pixels.index_select(0, (row + column).view(-1)).view(count, -1).mul_(weight)
    return total.view(count, height, width)
