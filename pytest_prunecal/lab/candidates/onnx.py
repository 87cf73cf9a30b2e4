"""A candidate in an ONNX file, run by onnxruntime: on the CPU, in one thread, to the same bits every time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.candidates.finished import Finished, Running
from pytest_prunecal.lab.candidates.inputs import input_of
from pytest_prunecal.lab.forward import described
from pytest_prunecal.study import onnx_file
from pytest_prunecal.study.paths import reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from pytest_prunecal.lab.candidates.inputs import Input
    from pytest_prunecal.study.measurement import Number

_DTYPES = {
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(double)": torch.float64,
    "tensor(uint8)": torch.uint8,
}
_UNKNOWN = re.compile(r"([\w.]*):?\b(\w+)\(-?\d+\) is not a registered function/op")
_IN_MEMORY = 1 << 30
"""Bytes up to which a file is read before it is loaded, so that what is loaded is what its digest is of."""


def load(path: Path, shape: Sequence[int], what: str) -> Finished:
    """Load an ONNX file.

    Args:
        path: the file.
        shape: (channels, height, width) of the data's images.
        what: how messages call it.

    Raises:
        PrunecalError: it cannot be loaded, or takes no such images; in one sentence.
    """
    sha256 = _digest(path, what)
    session = _session_of(path, what)
    taken = _input_of(session, shape, what)
    name, output = session.get_inputs()[0].name, _output_of(session)

    def run(images: Tensor) -> Tensor:
        return taken.run(lambda part: _once(session, name, output, part), images.cpu())

    costs = _costs_of(path, taken.laid_out(shape), what)
    if _digest(path, what) != sha256:
        raise PrunecalError(f"{what}: changed while it was loaded; run again when whoever writes it is done")
    return Finished(Running(run, taken.dtype), costs, on_cpu=True, sha256=sha256, state=sha256)


def _digest(path: Path, what: str) -> str:
    try:
        return onnx_file.digest(path, what)
    except OSError as error:
        raise PrunecalError(f"{what}: cannot be read: {reason(error)}") from None


def _costs_of(path: Path, image: Sequence[int], what: str) -> dict[str, Number]:
    """Metrics of the network itself, counted on the graph in a file."""
    try:
        from pytest_prunecal.lab.metrics.onnx_cost import cost_of  # noqa: PLC0415 - it takes the extra

        size = sum(part.stat().st_size for part in (path, *onnx_file.parts(path, what)))
        return {**cost_of(path, image=image), "bytes": size}
    except ImportError as error:
        raise PrunecalError(f"{what}: onnx cannot be imported: {error}") from None
    except (PrunecalError, OSError) as error:
        raise PrunecalError(f"{what}: its cost cannot be counted: {error}") from None


def _session_of(path: Path, what: str) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """A session of onnxruntime whose numbers depend on nothing but the file, the version and the processor.

    Raises:
        PrunecalError: it cannot be loaded; in one sentence.
    """
    try:
        from pytest_prunecal.lab.onnx_network import session_of  # noqa: PLC0415 - it takes the extra
    except ImportError as error:
        raise PrunecalError(f"{what}: onnxruntime cannot be imported: {error}") from None
    whole = path.stat().st_size <= _IN_MEMORY and not onnx_file.parts(path, what)
    try:
        return session_of(path.read_bytes() if whole else str(path))
    except Exception as error:  # noqa: BLE001 - onnxruntime raises many kinds, none of them public
        raise PrunecalError(f"{what}: {_reason(error)}") from None


def _input_of(session: Any, shape: Sequence[int], what: str) -> Input:  # noqa: ANN401 - as above
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs) or "none"
        raise PrunecalError(f"{what}: has {len(inputs)} inputs ({names}), wanted one: images")
    (only,) = inputs
    called = re.sub(r"^tensor\((.*)\)$", r"\1", only.type)
    return input_of(only.shape, _DTYPES.get(only.type), called, shape, what)


def _output_of(session: Any) -> str:  # noqa: ANN401 - as above
    """Name of the output that has the logits: `logits`, or the first."""
    names = [output.name for output in session.get_outputs()]
    return "logits" if "logits" in names else names[0]


def _once(session: Any, name: str, output: str, images: Tensor) -> Tensor:  # noqa: ANN401 - as above
    """One run: images as the graph takes them to what its output gives."""
    try:
        (found,) = session.run([output], {name: images.numpy()})
    except Exception as error:  # noqa: BLE001 - as above
        raise PrunecalError(_reason(error)) from None
    try:
        return torch.from_numpy(found)
    except TypeError:
        kind = getattr(found, "dtype", None)
        raise PrunecalError(
            f"wanted logits, float (N, classes); its output {output!r} gives {kind or described(found)}"
        ) from None


def _reason(error: Exception) -> str:
    """What onnxruntime says, in a line."""
    text = str(error).strip().partition("\n")[0]
    if unknown := _UNKNOWN.search(text):
        domain, operator = unknown.groups()
        return (
            f"needs the operator {operator} of {domain or 'ONNX'}, which onnxruntime has not; libraries of "
            "custom operators are not loaded, as they are code: export the network without it"
        )
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    return f"onnxruntime fails: {text or type(error).__name__}"
