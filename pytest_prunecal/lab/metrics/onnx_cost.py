"""What an ONNX graph costs: parameters, multiply-accumulates, zeros and int8 weights, from the file alone."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.inliner import inline_local_functions
from onnx.shape_inference import infer_shapes

from pytest_prunecal.errors import PrunecalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_prunecal.study.measurement import Number

_CONVS = ("Conv", "ConvInteger", "QLinearConv")
_LINEAR = ("Gemm", "MatMul", "MatMulInteger", "QGemm", "QLinearMatMul")
# By operator: where it takes what it multiplies, images first.
_OPERANDS = {
    **dict.fromkeys(("Conv", "ConvInteger", "ConvTranspose", *_LINEAR), (0, 1)),
    **dict.fromkeys(("QLinearConv", "QGemm", "QLinearMatMul"), (0, 3)),
}
# By operator: inputs that are its settings and no parameters; BN's last two are statistics.
_SETTINGS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), (1, 2)),
    "BatchNormalization": (3, 4),
    **dict.fromkeys(("Resize", "Upsample", "Pad", "Clip", "OneHot", "Pow"), (1, 2, 3)),
    **dict.fromkeys(("ConvInteger", "MatMulInteger"), (2, 3)),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QGemm": (1, 2, 4, 5, 7, 8),
}
_INTEGERS = ("ConvInteger", "DequantizeLinear", "MatMulInteger", "QGemm", "QLinearConv", "QLinearMatMul")
"""Operators that take parameters as integers; elsewhere integers are shapes, axes and indices."""
_WEIGHTED = (*_OPERANDS, "BatchNormalization", "GroupNormalization", "InstanceNormalization", "PRelu")
"""Operators of which even a single number is a parameter; elsewhere it is a constant of the formula."""
_NARROW = (np.int8, np.uint8)
_NUMPY = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


def cost_of(
    source: Path | str | bytes, *, linear: bool = True, image: Sequence[int] = ()
) -> dict[str, Number]:
    """Count what an ONNX graph costs: a walk by shape inference.

    - `parameters`: numbers in its weights, biases and scales of norms, each tensor once. Not the statistics
      of batch norm, nor what quantisation adds: scales and zero points. A float buffer that is no single
      number cannot be told from a parameter.
    - `macs`: multiply-accumulates of one image as `metrics.complexity.macs` counts them: convs, transposed
      convs, and matrix products with a weight; products of two activations, as attention's, are left out.
      Quantised or not makes no difference.
    - `sparsity`: share of zeros in the weights of convs and, if `linear`, of matrix products. A network of
      torch says itself which weights rank, see `models.ranked`; a graph does not. What was removed is gone
      from the file, and does not count.
    - `int8`: share of these weights that are stored as int8 or uint8.

    What only a branch or a loop within the graph computes is not counted.

    Args:
        source: the file, or its bytes.
        linear: whether the weights of matrix products rank besides those of convs.
        image: shape of an image as the graph takes it, for what its file leaves open.

    Returns:
        These four, by name; the first two whole numbers.

    Raises:
        PrunecalError: it is no ONNX graph, or nothing tells the shapes of its layers.
    """
    graph = _Graph(_model(source, image))
    ranked = [tensor for op, tensor in graph.weights() if linear or op not in _LINEAR]
    unique = {tensor.name: tensor for tensor in ranked}.values()
    total = sum(tensor.values.size for tensor in unique)
    zeros = sum(tensor.zeros for tensor in unique)
    narrow = sum(tensor.values.size for tensor in unique if tensor.values.dtype in _NARROW)
    return {
        "parameters": graph.parameters(),
        "macs": graph.macs(),
        "sparsity": zeros / total if total else 0.0,
        "int8": narrow / total if total else 0.0,
    }


def _model(source: Path | str | bytes, image: Sequence[int]) -> onnx.ModelProto:
    """The graph for one image where its file leaves the number open, all shapes known that can be."""
    try:
        model = onnx.load_model_from_string(source) if isinstance(source, bytes) else onnx.load(source)
        if model.functions:
            model = inline_local_functions(model)
        graph = model.graph
        if not graph.node:
            raise ValueError("it has no operators")  # noqa: TRY301 - told like what onnx itself refuses
        given = {initializer.name for initializer in graph.initializer}
        for value in graph.input:
            dims = value.type.tensor_type.shape.dim
            for dim, size in zip(dims, (1, *image), strict=False):
                if value.name not in given and not dim.dim_value:
                    dim.dim_value = size
        del graph.value_info[:]  # they speak of any number of images
        for value in graph.output:
            value.type.tensor_type.ClearField("shape")
        return infer_shapes(model, data_prop=True)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - protobuf and onnx have many of their own
        what = "the bytes" if isinstance(source, bytes) else source
        says = str(error).strip().partition("\n")[0]
        raise PrunecalError(f"{what}: no ONNX graph that can be counted: {says}") from None


class _Tensor(NamedTuple):
    """A weight as the file has it.

    Attributes:
        name: of the tensor in the file.
        values: as stored, quantised or not.
        zero: zero point, one for all or one a slice along `axis`; None where there is none.
        axis: along which there is one each.
    """

    name: str
    values: np.ndarray[Any, Any]
    zero: np.ndarray[Any, Any] | None = None
    axis: int = 1

    @property
    def zeros(self) -> int:
        """How many of its weights are zero."""
        if self.zero is None:
            return self.values.size - int(np.count_nonzero(self.values))
        zero = self.zero
        if zero.size > 1:
            shape = [1] * self.values.ndim
            shape[self.axis] = zero.size
            zero = zero.reshape(shape)
        return int((self.values == zero).sum())


class _Graph:
    """A graph whose shapes are inferred."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self._model = model
        self._nodes = list(graph.node)
        self._maker = {name: node for node in self._nodes for name in node.output}
        self._stored = {one.name: one for one in graph.initializer}
        for node in self._nodes:
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self._stored[node.output[0]] = attribute.t
        self._shapes = {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in (*graph.input, *graph.value_info, *graph.output)
            if value.type.tensor_type.HasField("shape")
        }
        self._shapes |= {name: list(tensor.dims) for name, tensor in self._stored.items()}
        self._constant = self._constants()
        self._images = next(
            (
                self._shapes[value.name][0]
                for value in graph.input
                if value.name not in self._stored and self._shapes.get(value.name)
            ),
            1,
        )

    def _constants(self) -> set[str]:
        """Names of all that does not depend on the input: what the file has, and what is made of that."""
        found = set(self._stored)
        for node in self._nodes:  # in the order of computing, as ONNX wants it
            if node.input and all(name in found for name in node.input if name):
                found.update(node.output)
        return found

    def parameters(self) -> int:
        """Numbers that training has set."""
        found = set()
        for node in self._nodes:
            settings = _SETTINGS.get(node.op_type, ())
            for place, name in enumerate(node.input):
                tensor = self._stored.get(name)
                if tensor is None or place in settings:
                    continue
                kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).kind
                # Of small floats such as bfloat16 numpy knows only that they are something.
                fits = kind in "fV" or (kind in "iu" and node.op_type in _INTEGERS)
                if fits and (math.prod(tensor.dims) > 1 or self._serves(node)):
                    found.add(name)
        return sum(math.prod(self._stored[name].dims) for name in found)

    def _serves(self, node: onnx.NodeProto) -> bool:
        """Whether a node is a layer, or makes ready what one takes."""
        if node.op_type in _WEIGHTED:
            return True
        users = [other for other in self._nodes if node.output[0] in other.input]
        return node.op_type == "DequantizeLinear" and any(other.op_type in _WEIGHTED for other in users)

    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        total = 0
        for node in self._nodes:
            if node.op_type not in _OPERANDS:
                continue
            images, weight = (node.input[place] for place in _OPERANDS[node.op_type])
            out = node.output[0]
            if node.op_type in _CONVS:
                total += self._size(out, node) * (self._size(weight, node) // self._shape(weight, node)[0])
            elif node.op_type == "ConvTranspose":
                total += self._size(images, node) * (self._size(weight, node) // self._shape(weight, node)[0])
            elif {images, weight} & self._constant:
                total += self._size(out, node) * self._inner(images, node)
        return total // self._images

    def _inner(self, first: str, node: onnx.NodeProto) -> int:
        """Over how many products each number that a matrix product gives is a sum."""
        turned = any(one.name == "transA" and one.i for one in node.attribute)
        return self._shape(first, node)[-2 if turned else -1]

    def _size(self, name: str, node: onnx.NodeProto) -> int:
        return math.prod(self._shape(name, node))

    def _shape(self, name: str, node: onnx.NodeProto) -> Sequence[int]:
        shape: Sequence[int] | None = self._shapes.get(name)
        if shape is None or not all(shape):
            shape = self._seen.get(name)
        if shape is None:
            where = f"{node.op_type} {node.name}".strip()
            raise PrunecalError(
                f"the graph does not tell the shapes of {where}, so its MACs cannot be counted; export it "
                "for images of a fixed size"
            )
        return shape

    @cached_property
    def _seen(self) -> dict[str, Sequence[int]]:
        """Shapes as they come out where inference does not know an operator; empty if it cannot be run."""
        import onnxruntime  # noqa: PLC0415 - hardly a graph needs it

        wanted = {
            name for node in self._nodes if node.op_type in _OPERANDS for name in (*node.input, *node.output)
        }
        probe = onnx.ModelProto()
        probe.CopyFrom(self._model)
        del probe.graph.value_info[:]
        made = sorted(wanted & {*self._maker})
        known = {value.name for value in probe.graph.output}
        probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made if name not in known)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = onnxruntime.InferenceSession(
                probe.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            given = {one.name: np.zeros(one.shape, _NUMPY[one.type]) for one in session.get_inputs()}
            found = session.run(made, given)
        except Exception:  # noqa: BLE001 - onnxruntime has many of its own, and the caller says it better
            return {}
        return {name: array.shape for name, array in zip(made, found, strict=True)}

    def weights(self) -> Iterator[tuple[str, _Tensor]]:
        """The weights of layers, with the layer's operator: looked for through what turns and dequantises."""
        for node in self._nodes:
            if node.op_type not in _OPERANDS:
                continue
            places = _OPERANDS[node.op_type]
            for place in places if node.op_type in _LINEAR else places[1:]:
                name = node.input[place]
                found = self._behind(name) if name in self._constant else None
                if found is not None:
                    zero = {"QLinearConv": 5, "QLinearMatMul": 5, "QGemm": 5}.get(node.op_type)
                    zero = {"ConvInteger": 3, "MatMulInteger": 3}.get(node.op_type, zero)
                    points = self._array(node.input[zero]) if zero and len(node.input) > zero else None
                    yield node.op_type, found if points is None else found._replace(zero=points, axis=0)

    def _behind(self, name: str) -> _Tensor | None:
        """The tensor of the file that a constant is made of; the largest of several."""
        if name in self._stored:
            return _Tensor(name, numpy_helper.to_array(self._stored[name]))
        node = self._maker.get(name)
        if node is None:
            return None
        if node.op_type == "DequantizeLinear" and node.input[0] in self._stored:
            points = self._array(node.input[2]) if len(node.input) > 2 else None
            axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
            return _Tensor(node.input[0], numpy_helper.to_array(self._stored[node.input[0]]), points, axis)
        found = [tensor for tensor in map(self._behind, filter(None, node.input)) if tensor is not None]
        return max(found, key=lambda tensor: tensor.values.size, default=None)

    def _array(self, name: str) -> np.ndarray[Any, Any] | None:
        return numpy_helper.to_array(self._stored[name]) if name in self._stored else None
