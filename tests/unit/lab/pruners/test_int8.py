"""int8, against its definition and against torch's own fake quantisation with the same scales."""

import copy
import logging
import tempfile
import warnings

import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.metrics.complexity import macs, parameters
from pytest_prunecal.lab.metrics.onnx_cost import cost_of
from pytest_prunecal.lab.onnx_network import OnnxNetwork
from pytest_prunecal.lab.pruners import int8
from pytest_prunecal.lab.pruners.base import Pruned
from pytest_prunecal.study.builtin import PRUNERS

SHAPE = (3, 16, 16)


class Convs(nn.Module):
    """Two convs with norms and a head."""

    RANKED = (nn.Conv2d,)

    def __init__(self):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.head = nn.Linear(12, 10)

    def forward(self, images):
        maps = F.max_pool2d(F.relu(self.norm1(self.conv1(images))), 2)
        return self.head(F.relu(self.norm2(self.conv2(maps))).mean((2, 3)))


class Transformer(nn.Module):
    """A small ViT: attention, softmax, layer norms."""

    def __init__(self, width=32):
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.position = nn.Parameter(torch.randn(1, 16, width) / 10)
        layer = nn.TransformerEncoderLayer(width, 4, 64, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(width, 10)

    def forward(self, images):
        tokens = self.patch(images).flatten(2).transpose(1, 2) + self.position
        return self.head(self.encoder(tokens).mean(1))


def trained(network):
    """Weights that do something, and statistics of real images' likes."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) / 10)
        for _ in range(20):
            network.train()(torch.randn(50, *SHAPE, generator=generator))
    return network.eval()


def images_of(count=300, seed=1):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


def batches_of(images, size=64):
    return [(part, torch.zeros(len(part), dtype=torch.int64)) for part in images.split(size)]


def quantised(network, images, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return int8.prune(network, batches_of(images), images[:8], generator)


@pytest.fixture(scope="module")
def convs():
    torch.manual_seed(0)
    return trained(Convs())


@pytest.fixture(scope="module")
def pruned(convs):
    return quantised(convs, images_of())


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    network = trained(Transformer())
    return network, quantised(network, images_of())


class Graph:
    """What a graph has, by name."""

    def __init__(self, content):
        model = onnx.load_model_from_string(content)
        self.nodes = list(model.graph.node)
        self.stored = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
        self.maker = {name: node for node in self.nodes for name in node.output}

    def layers(self):
        return [node for node in self.nodes if node.op_type in int8.OPERATORS]

    def quantised(self, name):
        """Stored values, scale and zero point of what a layer takes."""
        node = self.maker[name]
        assert node.op_type == "DequantizeLinear"
        values, scale, zero = (self.stored.get(one) for one in node.input)
        return values, scale, zero

    def affine(self, name):
        """Scale and zero point of an activation that is quantised and comes back."""
        _, scale, zero = self.quantised(name)
        return float(scale), int(zero)


def folded(network):
    """Weights and biases of the two convs with their norms in them, by torch."""
    pairs = (network.conv1, network.norm1), (network.conv2, network.norm2)
    return [fuse_conv_bn_eval(copy.deepcopy(conv).eval(), norm) for conv, norm in pairs]


def float_weights(network):
    return [*(conv.weight.detach() for conv in folded(network)), network.head.weight.detach()]


def test_weights_are_symmetric_int8_with_a_scale_a_channel(convs, pruned):
    graph = Graph(pruned.model.graph)
    assert [node.op_type for node in graph.layers()] == ["Conv", "Conv", "Gemm"]
    for node, weight in zip(graph.layers(), float_weights(convs), strict=True):
        values, scale, zero = graph.quantised(node.input[1])
        assert (values.dtype, zero.dtype) == ("int8", "int8")
        assert not zero.any()
        largest = weight.flatten(1).abs().amax(1)
        torch.testing.assert_close(torch.from_numpy(scale.copy()), largest / 127, rtol=1e-4, atol=0)
        by_channel = torch.from_numpy(scale.copy()).view(-1, *[1] * (weight.ndim - 1))
        dequantised = torch.from_numpy(values.astype("float32")) * by_channel
        assert ((dequantised - weight).abs() <= by_channel * 0.501).all()


def test_activations_are_uint8_between_the_extremes_of_the_calibration_images(convs, pruned):
    images, graph = images_of(), Graph(pruned.model.graph)
    scale, zero = graph.affine(graph.layers()[0].input[0])
    least, most = float(images.min()), float(images.max())
    assert scale == pytest.approx((most - least) / 255, rel=1e-5)
    assert zero == round(-least / scale)
    with torch.no_grad():
        logits = convs(images)
    scale, _ = graph.affine("logits")
    assert scale == pytest.approx(float(logits.max() - logits.min()) / 255, rel=1e-3)


def faked(network, graph, images):
    """The quantised network by torch alone, with the scales of the graph."""

    def fake(tensor, name):
        scale, zero = graph.affine(name)
        return torch.fake_quantize_per_tensor_affine(tensor, scale, zero, 0, 255)

    def weight(tensor, name):
        _, scale, zero = graph.quantised(name)
        scale, zero = torch.from_numpy(scale.copy()), torch.from_numpy(zero.astype("int32"))
        return torch.fake_quantize_per_channel_affine(tensor, scale, zero, 0, -128, 127)

    first, second, head = graph.layers()
    after = {node.input[0]: node.output[0] for node in graph.nodes if node.op_type == "QuantizeLinear"}
    back = {node.input[0]: node.output[0] for node in graph.nodes if node.op_type == "DequantizeLinear"}

    def given(node):
        return back[after[node.output[0]]]

    conv1, conv2 = folded(network)
    maps = F.conv2d(fake(images, first.input[0]), weight(conv1.weight, first.input[1]), conv1.bias, padding=1)
    maps = F.max_pool2d(F.relu(fake(maps, given(first))), 2)
    maps = F.conv2d(fake(maps, second.input[0]), weight(conv2.weight, second.input[1]), conv2.bias, padding=1)
    found = F.relu(fake(maps, given(second))).mean((2, 3))
    found = F.linear(
        fake(found, head.input[0]), weight(network.head.weight, head.input[1]), network.head.bias
    )
    return fake(found, "logits")


@torch.no_grad()
def test_logits_are_those_of_fake_quantisation_by_torch(convs, pruned):
    images, graph = images_of(200, seed=9), Graph(pruned.model.graph)
    step, _ = graph.affine("logits")
    apart = (pruned.model(images) - faked(convs, graph, images)).abs() / step
    assert float(apart.max()) < 4.5  # a step within that falls to the other side moves others
    assert float((apart < 0.5).float().mean()) > 0.8
    assert float(apart.mean()) < 0.5 < float((pruned.model(images) - convs(images)).abs().mean() / step)


@torch.no_grad()
def error_of(network, pruned, images):
    """Relative error of the logits, as a share of how far they vary between images."""
    wanted = network(images)
    return float((pruned.model(images) - wanted).norm() / (wanted - wanted.mean(0)).norm())


def test_calibration_with_noise_makes_it_worse(convs, pruned):
    images = images_of(200, seed=9)
    noisy = quantised(convs, 8 * images_of(seed=5))
    assert error_of(convs, pruned, images) < 0.12
    assert error_of(convs, noisy, images) > 3 * error_of(convs, pruned, images)


@torch.no_grad()
def test_the_same_bits_whatever_the_batch_the_session_and_the_threads(pruned):
    images = images_of(130, seed=9)
    whole = pruned.model(images)
    for size in (1, 7, 64):
        assert torch.equal(torch.cat([pruned.model(part) for part in images.split(size)]), whole)
    assert torch.equal(OnnxNetwork(pruned.model.graph)(images), whole)
    assert torch.equal(copy.deepcopy(pruned.model).to(memory_format=torch.channels_last)(images), whole)
    assert torch.equal(pruned.model(images.contiguous(memory_format=torch.channels_last)), whole)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(pruned.model.graph, options, providers=["CPUExecutionProvider"])
    assert torch.equal(torch.from_numpy(session.run(None, {"images": images.numpy()})[0]), whole)


@torch.no_grad()
def test_a_transformer_keeps_its_softmax_and_norms_in_floats(vit):
    network, pruned = vit
    images = images_of(130, seed=9)
    assert error_of(network, pruned, images) < 0.1
    kinds = {node.op_type for node in Graph(pruned.model.graph).nodes}
    assert {"Softmax", "LayerNormalization"} < kinds
    whole = pruned.model(images)
    for size in (1, 7):
        assert torch.equal(torch.cat([pruned.model(part) for part in images.split(size)]), whole)


def test_quantising_again_gives_the_same_file(convs, pruned):
    assert quantised(convs, images_of()).model.graph == pruned.model.graph


def test_costs_are_those_of_the_file(convs, vit, pruned):
    norms = 8 + 12 - 8  # the first conv gets a bias, the second has one
    assert isinstance(pruned, Pruned)
    assert not pruned.masks
    assert pruned.costs == {
        **cost_of(pruned.model.graph, linear=False),
        "bytes": len(pruned.model.graph),
    }
    assert pruned.costs["macs"] == macs(convs, SHAPE)
    assert pruned.costs["parameters"] == parameters(convs) - 2 * 20 + norms - 4
    assert pruned.costs["int8"] == 1.0
    assert 0 < pruned.costs["sparsity"] < 0.02  # what is less than half a step
    network, of_vit = vit
    assert of_vit.costs["macs"] == macs(network, SHAPE)
    assert of_vit.costs["parameters"] == parameters(network)
    assert of_vit.costs["int8"] == 1.0
    assert of_vit.costs["bytes"] < 0.7 * 4 * parameters(network)


def test_the_file_tells_nothing_of_where_it_was_made(pruned):
    model = onnx.load_model_from_string(pruned.model.graph)
    assert (model.producer_name, model.producer_version, [*model.metadata_props]) == ("", "", [])
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert __file__.encode() not in pruned.model.graph


def test_the_network_and_the_process_are_left_as_they_were(convs, tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = copy.deepcopy(convs.state_dict())
    convs.train()
    torch.manual_seed(5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quantised(convs, images_of(80))
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), drawn)
    assert convs.training
    convs.eval()
    assert all(torch.equal(before[name], value) for name, value in convs.state_dict().items())
    assert [*tmp_path.iterdir()] == []
    assert capfd.readouterr() == ("", "")
    # The exporter traces itself at the level DEBUG, for nobody but its own developers.
    said = [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert said == caught == []
    assert logging.root.manager.disable == 0
    assert onnxruntime.SessionOptions().intra_op_num_threads == 0


def test_a_training_that_diverged_and_what_cannot_be_exported_are_one_sentence_each(convs):
    diverged = copy.deepcopy(convs)
    with torch.no_grad():
        diverged.conv1.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(PrunecalError, match="holds NaN or infinite values: its training diverged"):
        quantised(diverged, images_of(8))

    class Choosy(Convs):
        def forward(self, images):
            return super().forward(images) * (1 if images.mean() > 0 else 2)

    with pytest.raises(
        PrunecalError, match=r"^Choosy cannot be exported to ONNX for any number of images: .+"
    ):
        quantised(trained(Choosy()), images_of(8))
    with pytest.raises(PrunecalError, match="no training images"):
        quantised(convs, images_of(0))


class Shared(Convs):
    """A conv that is passed twice, and two layers of one weight."""

    def __init__(self):
        super().__init__()
        self.again, self.tied = nn.Linear(12, 12), nn.Linear(12, 12)
        self.tied.weight = self.again.weight
        self.mid = nn.Conv2d(8, 8, 1)

    def forward(self, images):
        maps = F.relu(self.norm1(self.conv1(images)))
        maps = F.max_pool2d(F.relu(self.mid(F.relu(self.mid(maps)))), 2)
        maps = F.relu(self.norm2(self.conv2(maps))).mean((2, 3))
        return self.head(self.tied(F.relu(self.again(maps))))


@torch.no_grad()
def test_weights_that_layers_share_are_stored_once_and_computed_with_as_they_are():
    torch.manual_seed(0)
    network, images = trained(Shared()), images_of(130, seed=9)
    pruned = quantised(network, images_of())
    graph = Graph(pruned.model.graph)
    assert len({node.input[1] for node in graph.layers()}) == len(graph.layers()) - 2
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = onnxruntime.InferenceSession(pruned.model.graph, options, providers=["CPUExecutionProvider"])
    wanted = torch.from_numpy(plain.run(None, {"images": images.numpy()})[0])
    step, _ = graph.affine("logits")
    assert float(((pruned.model(images) - wanted).abs() / step).mean()) < 0.2
    parts = [copy.deepcopy(pruned.model)(part) for part in images.split(7)]
    assert torch.equal(torch.cat(parts), pruned.model(images))


def test_calibration_images_are_drawn_once_each_by_the_generator_alone():
    images = torch.arange(2000.0).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    drawn = int8.drawn(batches_of(images, 100), torch.Generator().manual_seed(4))
    numbers = drawn[:, 0, 0, 0]
    assert drawn.shape == (int8.CALIBRATION, 3, 2, 2)
    assert torch.equal(numbers, numbers.unique())  # none twice, in their order
    assert 900 < float(numbers.mean()) < 1100  # of all there are, not the first
    again = int8.drawn(batches_of(images, 100), torch.Generator().manual_seed(4))
    other = int8.drawn(batches_of(images, 100), torch.Generator().manual_seed(5))
    assert torch.equal(again, drawn)
    assert not torch.equal(other, drawn)
    few = int8.drawn(batches_of(images[:70], 30), torch.Generator().manual_seed(4))
    assert torch.equal(few, images[:70])


def test_its_row_takes_nothing_and_is_not_tuned():
    row = PRUNERS["int8"]
    assert (row.levels, row.tunes, row.slimming, row.extra) == ((), False, False, "onnx")
