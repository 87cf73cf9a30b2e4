"""Post-training static quantisation to int8 by onnxruntime: a finished network, never fine-tuned.

The network is exported to ONNX. Weights of convs and matrix products become int8, symmetric with one scale an
output channel; what these layers read and give becomes uint8, asymmetric with one scale a tensor, from the
smallest to the largest value over the calibration images. All else, such as softmax and norms, stays float32.
As `onnxruntime.quantization.quantize_static` does it; see Jacob et al. 2018 (arXiv:1712.05877), and Wu et al.
2020 (arXiv:2004.09602) for one scale a channel.
"""

from __future__ import annotations

import copy
import io
import logging
import tempfile
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor, nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.metrics.onnx_cost import cost_of
from pytest_prunecal.lab.onnx_network import OnnxNetwork
from pytest_prunecal.lab.own_code import told
from pytest_prunecal.lab.pruners.base import Pruned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CALIBRATION = 512
"""Images that the ranges of activations are taken from, none twice; all where there are fewer."""
OPERATORS = ("Conv", "Gemm", "MatMul")
_AT_ONCE = 64
_IMAGES, _LOGITS = "images", "logits"
# Or quantising says through the root logger that a graph which torch has optimised should be optimised.
_OPTIMISED = ("onnx.quant.pre_process", "onnxruntime.quant")
_WARNING, _FATAL = 2, 4  # levels of onnxruntime's logging; the first is its default


def prune(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], example: Tensor, generator: torch.Generator
) -> Pruned:
    """Quantise a network.

    Args:
        model: the trained network; left as it is.
        batches: training images as the network sees them, float32 (n, 3, H, W), with labels.
        example: some of them.
        generator: of the CPU; draws which images calibrate.

    Returns:
        A network that onnxruntime runs on the CPU, and what its file costs.

    Raises:
        PrunecalError: its weights are not finite, or it cannot be exported or quantised.
    """
    if not all(torch.isfinite(tensor).all() for tensor in model.state_dict().values()):
        raise PrunecalError("the network to quantise holds NaN or infinite values: its training diverged")
    images = drawn(batches, generator)
    graph = _quantised(_exported(model, example), images)
    # The published networks rank their convs alone.
    costs = cost_of(graph, linear=nn.Linear in getattr(model, "RANKED", (nn.Linear,)))
    return Pruned(OnnxNetwork(graph), costs={**costs, "bytes": len(graph)})


def drawn(batches: Iterable[tuple[Tensor, Tensor]], generator: torch.Generator) -> Tensor:
    """Draw the calibration images: float32 (n, 3, H, W) on the CPU, in the order of the batches.

    Each image gets a random number, and those with the smallest ones are drawn.
    """
    kept, keys = torch.empty(0), torch.empty(0)
    for images, _ in batches:
        every = torch.cat([keys, torch.rand(len(images), generator=generator, dtype=torch.float64)])
        chosen = every.argsort(stable=True)[:CALIBRATION].sort().values
        found = images.detach().to("cpu", torch.float32)
        kept = (torch.cat([kept, found]) if len(kept) else found)[chosen]
        keys = every[chosen]
    if not len(kept):
        raise PrunecalError("there are no training images to calibrate int8 with")
    return kept


def _exported(model: nn.Module, example: Tensor) -> onnx.ModelProto:
    """Export a network as it is evaluated, for any number of images."""
    network = copy.deepcopy(model).cpu().eval()
    two = example[:1].detach().cpu().float().repeat(2, 1, 1, 1)  # of one, the number would be taken for fixed
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                network,
                (two,),
                input_names=[_IMAGES],
                output_names=[_LOGITS],
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # noqa: BLE001 - torch's exporter has many of its own
        cause = error.__cause__ or error
        raise PrunecalError(
            f"{type(model).__name__} cannot be exported to ONNX for any number of images: {told(cause)}"
        ) from None
    assert program is not None  # noqa: S101 - for the type checker
    exported: onnx.ModelProto = program.model_proto
    exported.metadata_props.add(key=_OPTIMISED[0], value=_OPTIMISED[1])
    return exported


def _quantised(model: onnx.ModelProto, images: Tensor) -> bytes:
    """Quantise a float graph, calibrated on images."""
    with tempfile.TemporaryDirectory(prefix="prunecal-") as folder:
        before, after = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, before)
        try:
            with _quiet(), _one_thread():
                quantize_static(
                    before,
                    after,
                    _Calibration(images),
                    quant_format=QuantFormat.QDQ,
                    op_types_to_quantize=[*OPERATORS],
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                )
            return _bare(onnx.load(after))
        except Exception as error:  # noqa: BLE001 - onnxruntime has many of its own
            raise PrunecalError(f"onnxruntime cannot quantise its graph: {told(error)}") from None


def _bare(model: onnx.ModelProto) -> bytes:
    """A graph without what tells where and by which versions it was made: its size is measured."""
    model.ClearField("producer_name")
    model.ClearField("producer_version")
    model.ClearField("doc_string")
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    content: bytes = model.SerializeToString(deterministic=True)
    return content


class _Calibration(CalibrationDataReader):  # type: ignore[misc] # it has no types
    """Gives images to onnxruntime, some at a time."""

    def __init__(self, images: Tensor) -> None:
        self._parts = iter(images.split(_AT_ONCE))

    def get_next(self) -> dict[str, Any] | None:
        """The next ones; None at the end."""
        part = next(self._parts, None)
        return None if part is None else {_IMAGES: part.numpy()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Have sessions that somebody else makes compute in one thread, as ranges must not depend on how many."""
    options = onnxruntime.SessionOptions

    def single() -> onnxruntime.SessionOptions:
        made = options()
        made.intra_op_num_threads = made.inter_op_num_threads = 1
        made.log_severity_level = _FATAL
        return made

    onnxruntime.SessionOptions = single
    try:
        yield
    finally:
        onnxruntime.SessionOptions = options


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what exporters print, log and warn of to themselves: what goes wrong is told as an error."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    onnxruntime.set_default_logger_severity(_FATAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        onnxruntime.set_default_logger_severity(_WARNING)
