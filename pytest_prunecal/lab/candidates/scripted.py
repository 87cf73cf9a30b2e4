"""A candidate in a TorchScript file, which the user trusts: it can run code when it is loaded."""

from __future__ import annotations

import hashlib
import io
import warnings
from typing import TYPE_CHECKING, Any

import torch

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.candidates.built import dtype_of
from pytest_prunecal.lab.candidates.counted import macs, of_tensors
from pytest_prunecal.lab.candidates.finished import Finished, Running
from pytest_prunecal.lab.own_code import told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import Tensor


def load(path: Path, shape: Sequence[int], what: str) -> Finished:
    """Load a TorchScript file, which runs on the CPU.

    Args:
        path: the file; it must be trusted.
        shape: (channels, height, width) of the data's images.
        what: how messages call it.

    Raises:
        PrunecalError: it cannot be loaded; in one sentence.
    """
    try:
        content = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TorchScript is deprecated
            network: Any = torch.jit.load(io.BytesIO(content), map_location="cpu").eval()
    except Exception as error:  # noqa: BLE001 - whatever its code raises
        raise PrunecalError(f"{what}: it cannot be loaded: {told(error)}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    dtype = dtype_of(network)

    optimized: Any = torch.jit.optimized_execution  # type: ignore[attr-defined]

    def run(images: Tensor) -> object:
        # Else its third pass is compiled anew, and the last bits may differ from those of the first two.
        with optimized(should_optimize=False):
            return network(images.cpu())

    try:
        costs = of_tensors(_weights(network)) | {"macs": macs(run, torch.zeros(1, *shape, dtype=dtype))}
        costs["bytes"] = len(content)
    except Exception as error:  # noqa: BLE001 - as above
        images = "x".join(map(str, shape))
        raise PrunecalError(f"{what}: it fails on an image of {images}: {told(error)}") from None
    return Finished(Running(run, dtype), costs, on_cpu=True, sha256=sha256, state=sha256)


def _holds_tensor(node: Any) -> bool:  # noqa: ANN401 - of TorchScript's graph
    return bool(node.hasAttribute("value") and node.kindOf("value") == "t")


def _weights(network: Any) -> Iterator[Tensor]:  # noqa: ANN401 - a module of TorchScript
    """Its parameters; those of a frozen one are constants of its graph."""
    yield from network.parameters()
    if next(network.parameters(), None) is None:
        graph = network.inlined_graph  # its nodes live as long as this name
        for node in graph.findAllNodes("prim::Constant"):
            value = node.t("value") if _holds_tensor(node) else None
            if value is not None and value.is_floating_point() and value.ndim:
                yield value
