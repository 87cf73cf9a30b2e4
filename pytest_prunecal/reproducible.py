"""Bit-identical numbers: a fixed thread count, deterministic kernels, random numbers of a cell's own."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def seed_of(*parts: object) -> int:
    """Derive a seed from what it is for, so that no two uses share one and no order of use matters."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator_of(*parts: object) -> torch.Generator:
    """Make a CPU generator seeded by what it is for: the same numbers whatever the device."""
    return torch.Generator().manual_seed(seed_of(*parts))


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Measure under fixed conditions and leave the process as it was found.

    Args:
        threads: CPU threads of the measurement, whatever the session uses otherwise.
    """
    # cuBLAS reads it when its handle is made; without it deterministic mode refuses matrix products.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    found = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
    )
    with torch.random.fork_rng():
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(mode=True)
        torch.backends.cudnn.benchmark = False
        # float32 means float32: TF32 keeps ten bits of mantissa.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            yield
        finally:
            torch.set_num_threads(found[0])
            torch.use_deterministic_algorithms(mode=found[1], warn_only=found[2])
            torch.backends.cudnn.benchmark = found[3]
            torch.backends.cudnn.allow_tf32 = found[4]
            torch.backends.cuda.matmul.allow_tf32 = found[5]
