"""An ONNX graph as a network of torch: run by onnxruntime on the CPU, the same bits every time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from pytest_prunecal.study.extras import ONNX_PROVIDER

if TYPE_CHECKING:
    from pathlib import Path

_FATAL = 4
"""onnxruntime's level of logging: below it, it would write to the terminal what it raises besides."""


def session_of(graph: bytes | str) -> onnxruntime.InferenceSession:
    """Make a session of a graph: one thread, the same kernels every time, no products that saturate.

    Args:
        graph: its bytes, or the path of its file.
    """
    try:
        return _session_of(graph)
    except Exception:
        # Without saturation, onnxruntime 1.32 cannot take in int8 weights that several layers share.
        own = _unshared(graph) if isinstance(graph, bytes) else None
        if own is None:
            raise
    return _session_of(own)


def _unshared(graph: bytes) -> bytes | None:
    """A graph that computes the same, in which each layer has int8 weights of its own; None if each has."""
    model = onnx.load_model_from_string(graph)
    stored = {one.name: one for one in model.graph.initializer}
    makers = {
        node.output[0]: node
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in stored
    }
    used: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        for at, name in enumerate(node.input):
            if name in makers and name in used:
                maker = onnx.NodeProto()
                maker.CopyFrom(makers[name])
                maker.name = maker.output[0] = node.input[at] = f"{name} of {node.output[0]}"
                for place, part in enumerate(makers[name].input):  # values, scale, zero point
                    if part in stored:
                        model.graph.initializer.add().CopyFrom(stored[part])
                        copied = model.graph.initializer[-1]
                        copied.name = maker.input[place] = f"{part} of {node.output[0]}"
                nodes.append(maker)
            used.add(name)
        nodes.append(node)
    if len(nodes) == len(model.graph.node):
        return None
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _session_of(graph: bytes | str) -> onnxruntime.InferenceSession:
    """The same of a graph that onnxruntime can take in as it is."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = _FATAL
    # Without, processors that lack VNNI add products of 8 bits in 16, and lose what does not fit.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(graph, options, providers=[ONNX_PROVIDER])


class OnnxNetwork(nn.Module):
    """A graph that maps float32 (N, 3, H, W) to logits, for any N.

    It has neither parameters nor modes: moved to another device it computes on the CPU all the same, and
    gives its logits where the images are. Copies and pickles are of the graph; each makes a session anew.

    Args:
        graph: the graph's bytes, or its file.
    """

    def __init__(self, graph: bytes | Path) -> None:
        super().__init__()
        self.graph = graph if isinstance(graph, bytes) else graph.read_bytes()
        self._session = session_of(self.graph)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, float32 (N, classes), on the images' device."""
        array = np.ascontiguousarray(images.detach().to("cpu", torch.float32).numpy())
        (logits,) = self._session.run(None, {self._session.get_inputs()[0].name: array})
        return torch.from_numpy(logits).to(images.device)

    def __getstate__(self) -> dict[str, object]:
        """All but the session, which cannot be copied."""
        return {name: value for name, value in self.__dict__.items() if name != "_session"}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Make a session of its own."""
        self.__dict__.update(state)
        self._session = session_of(self.graph)
