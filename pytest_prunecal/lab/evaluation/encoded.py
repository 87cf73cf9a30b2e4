"""What each image adds, small enough to be committed: float16 without the last four bits of the mantissa."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pytest_prunecal.study.image_results import Columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_DROPPED = 4  # bits of float16's mantissa
_MOST = 60000.0  # what float16 can hold, with room for rounding


def encode(columns: Mapping[str, Tensor]) -> Columns:
    """Write columns, each float32 (N,); a number is kept to 0.83 % of itself."""
    values = torch.stack(list(columns.values())).numpy() if columns else np.empty((0, 0), np.float32)
    bits = values.clip(-_MOST, _MOST).astype(np.float16).view(np.uint16).astype(np.uint32)
    half = 1 << (_DROPPED - 1)
    kept = ((bits + half) >> _DROPPED << _DROPPED).astype(np.uint16)
    high, low = (plane.astype(np.uint8).tobytes() for plane in (kept >> 8, kept & 255))
    return Columns(tuple(columns), high + low)
