"""Random numbers of a measurement's own, whichever generator they are drawn from."""

from __future__ import annotations

import hashlib
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

PERTURBATION = 1e-7
"""How far weights are moved, as a share of themselves: about as far as float32 rounds."""


def seed_of(*parts: object) -> int:
    """Derive a seed from what it is for, so that no two uses share one and no order of use matters."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator_of(*parts: object) -> torch.Generator:
    """Make a CPU generator seeded by what it is for: the same numbers whatever the device."""
    return torch.Generator().manual_seed(seed_of(*parts))


@torch.no_grad()
def perturb(network: nn.Module, generator: torch.Generator) -> None:
    """Multiply every float parameter and buffer by 1 + 1e-7 gauss, in place."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            # In float64, as float32 has hardly a number between 1 and 1 + 1e-7.
            tensor.copy_(tensor.double() * (1 + PERTURBATION * drawn).to(tensor.device))


@contextmanager
def stage(device: torch.device, *parts: object) -> Iterator[None]:
    """Run a stage of a measurement on random numbers of its own, and leave every generator as it was found.

    Whatever the user's code draws in here, from torch, numpy or `random`, depends on the parts alone: not on
    what ran before, on what the store had, on the worker or on the order of cells. Generators that the code
    makes itself are its own affair.

    Args:
        device: where the network runs; CUDA's generators are seeded if it is there, or is in use already.
        parts: what the stage is, such as the protocol's seed, the cell and a name.
    """
    on_cuda = device.type == "cuda" or torch.cuda.is_initialized()
    with _restored(on_cuda=on_cuda):
        seed = seed_of(*parts)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach CUDA, in use or not
        if on_cuda:
            torch.cuda.manual_seed_all(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - the generator that users share
        random.seed(seed)
        yield


@contextmanager
def _restored(*, on_cuda: bool) -> Iterator[None]:
    """Leave the generators that a process shares as they were found."""
    of_torch, of_numpy, of_python = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    of_cuda = torch.cuda.get_rng_state_all() if on_cuda else []
    try:
        yield
    finally:
        torch.set_rng_state(of_torch)
        if on_cuda:
            torch.cuda.set_rng_state_all(of_cuda)
        np.random.set_state(of_numpy)  # noqa: NPY002
        random.setstate(of_python)
