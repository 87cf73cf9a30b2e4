"""A finished network, whatever form it came in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pytest_prunecal.lab.forward import logits_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pytest_prunecal.study.measurement import Number


@dataclass(frozen=True)
class Finished:
    """A finished network.

    Attributes:
        model: maps images to logits, (N, classes) of floats: normalised float32 (N, 3, H, W), or uint8 ones
            as they are if its `takes_pixels` says so.
        costs: metrics of the network itself that are known of its form and need not be counted.
        network: what the other metrics of the network itself are counted on; None where nothing can be.
        dense_weights: how many weights the dense network has; None where its own are all there are.
        on_cpu: whether it runs on the CPU alone.
        sha256: of its file, in hex; empty where it is built.
        state: digest of what it computes with, in hex; empty where nothing tells.
    """

    model: nn.Module
    costs: dict[str, Number] = field(default_factory=dict)
    network: nn.Module | None = None
    dense_weights: int | None = None
    on_cpu: bool = False
    sha256: str = ""
    state: str = ""


class Running(nn.Module):
    """A finished network as evaluation takes it: nothing can be trained, moved, or switched to training.

    Args:
        run: maps inputs to logits, or to what they can be taken from; see `forward.logits_of`.
        dtype: what it computes in; inputs are converted to it.
    """

    def __init__(self, run: Callable[[Any], object], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self._run = (run,)  # not as a module of this one, which would be moved and switched with it
        self._dtype = dtype
        self.takes_pixels = dtype == torch.uint8

    def forward(self, images: Tensor) -> Tensor:
        """Run a batch: (N, 3, H, W) to float32 (N, classes)."""
        (run,) = self._run
        if self._dtype == torch.float32:
            return logits_of(run(images)).float()
        with torch.autocast(images.device.type, enabled=False):  # it says itself what it computes in
            return logits_of(run(images.to(self._dtype))).float()
