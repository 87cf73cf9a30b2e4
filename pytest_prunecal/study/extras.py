"""Optional extras: what they add, whether it is installed, and how to install it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

EXTRAS: dict[str, tuple[str, ...]] = {"onnx": ("onnx", "onnxruntime", "onnxscript")}
"""By extra, the packages that it needs, named alike for `import` and for pip."""

ONNX_PROVIDER = "CPUExecutionProvider"
"""Where onnxruntime computes, whatever the device: only there is it the same every time."""


def lacking(extra: str) -> str:
    """Why an extra cannot be used and what to type, such as `needs onnx, which is ...`; empty if it can.

    Nothing is imported.
    """
    missing = [name for name in EXTRAS[extra] if not _found(name)]
    if not missing:
        return ""
    are = "is" if len(missing) == 1 else "are"
    return f"needs {', '.join(missing)}, which {are} not installed: pip install 'pytest-prunecal[{extra}]'"


def versions(extra: str) -> dict[str, str]:
    """Versions of its packages that are installed, by name."""
    found = {}
    for name in EXTRAS[extra]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # missing, or of another distribution such as onnxruntime-gpu
            found[name] = "unknown" if _found(name) else "missing"
    return found


def _found(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # a module that somebody put into sys.modules by hand
        return True
