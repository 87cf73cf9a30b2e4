"""The machine and the libraries that numbers depend on, told without importing any of them."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pytest_prunecal.store.undisturbed import import_undisturbed

_LIBRARIES = ("torch", "numpy", "pillow")
_MODULES = {"pillow": "PIL"}
_SWITCHES = ("ATEN_", "CUBLAS_", "CUDNN_", "DNNL_", "MKL_", "NVIDIA_", "ONEDNN_", "OPENBLAS_", "TORCH_ALLOW_")
DEFAULTS = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""What measuring sets where the user does not: without it, deterministic mode refuses matrix products."""


def conditions(device: str) -> dict[str, str]:
    """All of the environment that may change the last bit of a number.

    Args:
        device: `cpu`, or the name of a GPU.

    Returns:
        Versions, processor and device, and the environment variables that choose kernels.
    """
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "device": device,
        **{name: installed(name) for name in _LIBRARIES},
        **DEFAULTS,
        **{name: value for name, value in os.environ.items() if name.startswith(_SWITCHES)},
    }


@cache
def installed(name: str) -> str:
    """Version of an installed library, with its build, such as `2.11.0+cu128` where that is part of it."""
    try:
        return version(name)
    except PackageNotFoundError:  # built by hand, without metadata
        return str(import_undisturbed(_MODULES.get(name, name)).__version__)


def is_surely_cpu(device: str) -> bool:
    """Whether measuring on `device` means the CPU, as far as can be told without torch.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Returns:
        False where only torch can tell: there is a driver, or torch is built for another kind of GPU.
    """
    if device != "auto":
        return device == "cpu"
    return "rocm" not in installed("torch") and not _has_cuda_driver()


def cuda_devices() -> int | None:
    """How many CUDA devices torch sees at most, as far as can be told without it; None where it cannot.

    Counted by the library of the driver that manages GPUs, which starts nothing on them.
    """
    if "rocm" in installed("torch"):
        return None
    if "+cpu" in installed("torch") or not _has_cuda_driver():
        return 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    most = None if visible is None else len([name for name in visible.split(",") if name.strip()])
    try:
        management = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
        count = ctypes.c_uint()
        if management.nvmlInit_v2() or management.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            return most
        management.nvmlShutdown()
    except (OSError, AttributeError):  # it is not there, or is another one
        return most
    return count.value if most is None else min(count.value, most)


def no_such_device(device: str, count: int) -> str:
    """The sentence about a device that is not among so many."""
    return f"--prunecal-device={device}: this machine has {count} CUDA devices; use cpu or auto"


@cache
def _has_cuda_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


@cache
def _processor() -> str:
    """Model and instruction sets of the processor: they choose the kernels."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    entries = dict(line.partition(":")[::2] for line in lines)
    known = {key.strip(): value.strip() for key, value in entries.items()}
    names = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "CPU part", "Features")
    return "; ".join(known[name] for name in names if name in known)
