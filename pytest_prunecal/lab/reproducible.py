"""Bit-identical numbers: a fixed thread count, deterministic kernels, float32 as float32."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.utils.deterministic

from pytest_prunecal.store.environment import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILLING: Any = torch.utils.deterministic  # a module whose one switch has no type


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Measure under fixed conditions and leave the process as it was found.

    Random numbers are `randomness.stage`'s affair: between stages nothing draws any.

    Args:
        threads: CPU threads of the measurement, whatever the session uses otherwise.
    """
    for name, value in DEFAULTS.items():  # cuBLAS reads them when its handle is made
        os.environ.setdefault(name, value)
    found = (
        torch.get_num_threads(),
        torch.get_deterministic_debug_mode(),
        _FILLING.fill_uninitialized_memory,
        torch.backends.cudnn.benchmark,
    )
    torch.set_num_threads(threads)
    # The same as use_deterministic_algorithms, which imports torch's compiler besides.
    torch.set_deterministic_debug_mode("error")
    # Or torch fills every new tensor with NaN first: 4 to 8 % of a training, 7 to 15 % of an evaluation.
    _FILLING.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    try:
        with _full_float32():
            yield
    finally:
        torch.set_num_threads(found[0])
        torch.set_deterministic_debug_mode(found[1])
        _FILLING.fill_uninitialized_memory = found[2]
        torch.backends.cudnn.benchmark = found[3]


@contextmanager
def _full_float32() -> Iterator[None]:
    """Compute float32 as float32: TF32 keeps ten bits of mantissa.

    torch 2.9 has a second set of switches, and refuses to read the first where somebody used the second.
    """
    first: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul]
    second: list[Any] = [torch.backends.cuda.matmul]
    second += [getattr(torch.backends.cudnn, name, None) for name in ("conv", "rnn")]
    second = [switch for switch in second if hasattr(switch, "fp32_precision")]
    allowed = [_allowed(switch) for switch in first]
    precisions = [switch.fp32_precision for switch in second]
    for switch in first:
        switch.allow_tf32 = False
    for switch in second:
        switch.fp32_precision = "ieee"
    try:
        yield
    finally:
        for switch, value in zip(first, allowed, strict=True):
            if value is not None:
                switch.allow_tf32 = value
        for switch, precision in zip(second, precisions, strict=True):
            switch.fp32_precision = precision


def _allowed(switch: Any) -> bool | None:  # noqa: ANN401 - one of torch's modules of switches
    try:
        return bool(switch.allow_tf32)
    except RuntimeError:
        return None
