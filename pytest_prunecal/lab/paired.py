"""Two sides compared image by image."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.evaluation.bootstrap import paired_errors
from pytest_prunecal.study.image_results import COLUMNS, ByImage
from pytest_prunecal.study.pairing import Pairing


def compare(measured: ByImage, accepted: ByImage, *, tuned: bool) -> Pairing:
    """Compare two sides image by image.

    Args:
        measured: the new side.
        accepted: the baseline's side.
        tuned: whether the cell was trained further after its base network.

    Raises:
        PrunecalError: the two sides are about different numbers of images.
    """
    if len(measured.cell) != len(accepted.cell):
        raise PrunecalError("the baseline's results by image are about another number of images")
    ours, theirs = _columns(measured.cell, measured.metrics), _columns(accepted.cell, accepted.metrics)
    base, their_base = (_columns(side.base_cell, side.base_metrics) for side in (measured, accepted))
    change = {name: (ours[name] - base[name]) - (theirs[name] - their_base[name]) for name in ours}
    return Pairing(
        same_base=measured.base == accepted.base,
        tuned=tuned,
        paired=paired_errors({name: ours[name] - theirs[name] for name in ours}),
        changes={
            name: (measured.metrics[name] - measured.base_metrics[name])
            - (accepted.metrics[name] - accepted.base_metrics[name])
            for name in change
        },
        change_errors=paired_errors(change),
        change_spread={
            name: [
                (side.seeds - 1, side.change_sd[name])
                for side in (measured, accepted)
                if name in side.change_sd
            ]
            for name in change
        },
    )


def _columns(content: bytes, metrics: dict[str, float]) -> dict[str, Tensor]:
    """Read them back, by metric, each (N,) float64; with that of rPC, to first order (the delta method)."""
    planes = np.frombuffer(content, np.uint8).reshape(2, -1).astype(np.uint16)
    values = (planes[0] << 8 | planes[1]).view(np.float16).astype(np.float64).reshape(len(COLUMNS), -1)
    columns = dict(zip(COLUMNS, torch.from_numpy(values), strict=True))
    accuracy = metrics["accuracy"] or math.inf  # the rPC of a network that is never right is 0
    columns["rpc"] = (columns["mpc"] - metrics["rpc"] * columns["accuracy"]) / accuracy
    return columns
