"""What ONNX graphs cost, against torch's own counts of the networks that they were exported from."""

import importlib
import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.metrics.complexity import macs, parameters, sparsity, weights
from pytest_prunecal.lab.metrics.onnx_cost import cost_of
from pytest_prunecal.lab.pruners import weight
from pytest_prunecal.study.builtin import MODELS

EVAL, PRESERVE = torch.onnx.TrainingMode.EVAL, torch.onnx.TrainingMode.PRESERVE


def exported(network, shape, *, folded=False, batch=2, open_batch=True):
    """The bytes of a network's graph, by torch's older exporter: it is quick, and can leave BN alone."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(batch, *shape),),
            file,
            input_names=["images"],
            dynamic_axes={"images": {0: "batch"}} if open_batch else None,
            training=EVAL if folded else PRESERVE,
            do_constant_folding=folded,
            dynamo=False,
        )
    return file.getvalue()


def alive(network):
    """A network whose norms and biases do something: a graph has nothing for nothing, nor one thing twice."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.normal_()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.uniform_(0.5, 1.5)
                for tensor in (module.bias, module.running_mean):
                    tensor.normal_()
    return network


def built_in(name):
    module, _, builder = MODELS[name].partition(":")
    return alive(getattr(importlib.import_module(module), builder)(width=0.25))


@pytest.mark.parametrize("name", MODELS)
def test_graphs_of_the_published_networks_cost_what_torch_counts(name):
    network, shape = built_in(name), (3, 33, 32)
    cost = cost_of(exported(network, shape), linear=False)
    assert cost == {
        "parameters": parameters(network),
        "macs": macs(network, shape),
        "sparsity": sparsity(network, weights(network)),
        "int8": 0.0,
    }
    assert [type(cost[name]) for name in cost] == [int, int, float, float]


@pytest.mark.parametrize("name", ["vgg19", "resnet20", "preresnet110"])
def test_norms_folded_into_convs_cost_no_macs_and_leave_a_bias_each(name):
    network, shape = built_in(name), (3, 32, 32)
    plain, folded = (cost_of(exported(network, shape, folded=one)) for one in (False, True))
    assert folded["macs"] == plain["macs"] == macs(network, shape)
    norms = {one: module for one, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    if name != "preresnet110":  # there norms come before convs, and some stay
        assert plain["parameters"] - folded["parameters"] == sum(norm.num_features for norm in norms.values())
    assert folded["parameters"] <= plain["parameters"]


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1"])
def test_graphs_of_torchvisions_networks_cost_what_torch_counts(name):
    builders = pytest.importorskip("torchvision.models", reason="torchvision is an extra")
    network, shape = alive(getattr(builders, name)(weights=None, num_classes=10)), (3, 64, 64)
    cost = cost_of(exported(network, shape))
    assert (cost["macs"], cost["parameters"]) == (macs(network, shape), parameters(network))


class Mixed(nn.Module):
    """Groups, a transposed conv, one dimension, and linear layers over positions with and without a bias."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, (3, 2), groups=2, stride=2)
        self.up = nn.ConvTranspose2d(8, 6, 3, stride=2, groups=2)
        self.line = nn.Conv1d(6, 5, 3)
        self.over = nn.Linear(47, 7)
        self.bare = nn.Linear(7, 3, bias=False)

    def forward(self, images):
        found = self.line(self.up(self.conv(images)).flatten(2))
        return self.bare(self.over(found)).mean(1)


def test_groups_transposes_and_positions():
    network, shape = Mixed(), (4, 6, 7)
    # (8, 2, 3) after the conv, (6, 5, 7) after its transpose, 35 -> 33 positions
    network.over = nn.Linear(33, 7)
    by_hand = 8 * 2 * 3 * 12 + 8 * 2 * 3 * 3 * 9 + 5 * 33 * 18 + 5 * 33 * 7 + 5 * 7 * 3
    assert macs(network, shape) == by_hand
    cost = cost_of(exported(network, shape))
    assert (cost["macs"], cost["parameters"]) == (by_hand, parameters(network))


class Attentive(nn.Module):
    """Attention over the rows of an image: products of activations besides those with weights."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.randn(6, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 4)

    def forward(self, images):
        rows = images.mean(1) + self.position
        return self.head(self.norm(rows + self.attention(rows, rows, rows, need_weights=False)[0]).mean(1))


@pytest.mark.parametrize("folded", [True, False], ids=["folded", "as it is"])
def test_products_of_two_activations_are_left_out_as_in_torch(folded):
    network, shape = alive(Attentive()), (3, 6, 8)
    cost = cost_of(exported(network, shape, folded=folded))
    assert cost["macs"] == macs(network, shape) == 4 * 6 * 8 * 8 + 8 * 4
    assert cost["parameters"] == parameters(network)


def test_a_graph_of_the_newer_exporter_and_of_a_fixed_number_of_images():
    network, shape = built_in("resnet20"), (3, 16, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.eval(), (torch.zeros(4, *shape),), dynamo=True, verbose=False, external_data=False
        )
    cost = cost_of(program.model_proto.SerializeToString())
    norms = sum(one.num_features for one in network.modules() if isinstance(one, nn.BatchNorm2d))
    assert cost["macs"] == macs(network, shape)
    assert cost["parameters"] == parameters(network) - norms
    fixed = exported(network, shape, batch=4, open_batch=False)
    assert cost_of(fixed)["macs"] == macs(network, shape)


def test_sparsity_is_the_share_of_zeros_in_what_ranks():
    network = weight.prune(built_in("vgg19"), 0.3).model
    graph = exported(network, (3, 32, 32))
    assert cost_of(graph, linear=False)["sparsity"] == sparsity(network, weights(network)) > 0.29
    assert 0 < cost_of(graph)["sparsity"] < cost_of(graph, linear=False)["sparsity"]
    assert cost_of(exported(nn.Sequential(nn.Flatten(), nn.ReLU()), (3, 4, 4)))["sparsity"] == 0


# Graphs by hand

IMAGES = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 8, 8])


def graph_of(nodes, stored, images=IMAGES, output="logits"):
    graph = helper.make_graph(
        nodes,
        "graph",
        [images],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def narrow(shape, zeros=0, zero=0):
    array = np.arange(1, np.prod(shape) + 1) % 100 + 1
    array[:zeros] = zero
    return array.astype(np.int8).reshape(shape)


QUANTISED = {
    "scale": np.float32(0.1),
    "zero": np.uint8(3),
    "w": narrow((4, 3, 3, 3), zeros=27),
    "w_scale": np.full(4, 0.1, np.float32),
    "w_zero": np.zeros(4, np.int8),
    "b": np.ones(4, np.int32),
}


def test_what_quantises_is_looked_through_and_costs_nothing():
    nodes = [
        helper.make_node("QuantizeLinear", ["images", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["dw"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "w_scale"], ["db"], axis=0),
        helper.make_node("Conv", ["x", "dw", "db"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head"], ["logits"], transB=1),
    ]
    graph = graph_of(nodes, QUANTISED | {"head": np.ones((10, 4), np.float32)})
    found = cost_of(graph)
    assert found["parameters"] == 4 * 27 + 4 + 40
    assert found["macs"] == 4 * 6 * 6 * 27 + 40
    assert found["sparsity"] == 27 / (4 * 27 + 40)
    assert found["int8"] == 4 * 27 / (4 * 27 + 40)
    assert cost_of(graph, linear=False) == found | {"sparsity": 0.25, "int8": 1.0}


def test_a_zero_is_what_means_zero_by_the_zero_point():
    stored = QUANTISED | {
        "w": narrow((4, 3, 3, 3), zeros=20, zero=7),
        "w_zero": np.array([7, -100, -100, -100], np.int8),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["dw"], axis=0),
        helper.make_node("Conv", ["images", "dw"], ["logits"]),
    ]
    ours = {name: stored[name] for name in ("w", "w_scale", "w_zero")}
    assert cost_of(graph_of(nodes, ours))["sparsity"] == 20 / 108


def test_integer_operators_count_like_those_of_floats():
    nodes = [
        helper.make_node("QuantizeLinear", ["images", "scale", "zero"], ["q"]),
        helper.make_node(
            "QLinearConv", ["q", "scale", "zero", "w", "w_scale", "w_zero", "scale", "zero", "b"], ["maps"]
        ),
        helper.make_node("DequantizeLinear", ["maps", "scale", "zero"], ["logits"]),
    ]
    found = cost_of(graph_of(nodes, QUANTISED))
    assert found == {"parameters": 112, "macs": 4 * 6 * 6 * 27, "sparsity": 0.25, "int8": 1.0}


def test_shapes_that_inference_cannot_tell_are_found_by_running():
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["maps"]),
        helper.make_node("Gelu", ["maps"], ["lit"], domain="com.microsoft"),
        helper.make_node("GlobalAveragePool", ["lit"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
    ]
    stored = {"w": np.ones((4, 3, 3, 3), np.float32), "head": np.ones((4, 10), np.float32)}
    pytest.importorskip("onnxruntime")
    assert cost_of(graph_of(nodes, stored))["macs"] == 4 * 36 * 27 + 40


def test_settings_and_constants_of_a_formula_are_no_parameters_and_shared_ones_count_once():
    nodes = [
        helper.make_node("Conv", ["images", "w", "one"], ["a"]),  # a bias of one number
        helper.make_node("Conv", ["a", "w"], ["b"]),
        helper.make_node("Resize", ["b", "", "scales"], ["c"]),
        helper.make_node("Mul", ["c", "half"], ["d"]),
        helper.make_node("Reshape", ["d", "shape"], ["logits"]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 8, 8])
    stored = {
        "w": np.ones((1, 1, 3, 3), np.float32),
        "one": np.ones(1, np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "half": np.float32(0.5),
        "shape": np.array([0, -1], np.int64),
    }
    found = cost_of(graph_of(nodes, stored, images))
    assert found["parameters"] == 9 + 1
    assert found["macs"] == 36 * 9 + 16 * 9


def test_open_sizes_are_those_of_the_image_given():
    nodes = [helper.make_node("Conv", ["images", "w"], ["logits"])]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])
    graph = graph_of(nodes, {"w": np.ones((4, 3, 3, 3), np.float32)}, images)
    assert cost_of(graph, image=(3, 8, 8))["macs"] == 4 * 36 * 27
    with pytest.raises(PrunecalError, match=r"does not tell the shapes of Conv, so its MACs cannot be count"):
        cost_of(graph)


def test_the_file_and_its_bytes_cost_the_same(tmp_path):
    graph = exported(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5)), (3, 8, 8))
    path = tmp_path / "net.onnx"
    path.write_bytes(graph)
    assert cost_of(path) == cost_of(graph)
    apart = tmp_path / "apart" / "net.onnx"
    apart.parent.mkdir()
    onnx.save(onnx.load_model_from_string(graph), apart, save_as_external_data=True, size_threshold=0)
    assert cost_of(apart) == cost_of(graph)


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x07"], ids=["empty", "text", "no nodes"])
def test_what_is_no_graph_is_one_sentence(content):
    with pytest.raises(PrunecalError, match=r"^the bytes: no ONNX graph that can be counted: [^\n]+$"):
        cost_of(content)
