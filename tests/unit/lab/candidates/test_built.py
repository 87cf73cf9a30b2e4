"""Networks that code builds: quantised ones, half precision, functions, and what fails."""

import copy
import warnings

import pytest
import torch
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.candidates import built
from pytest_prunecal.lab.metrics.complexity import macs, parameters
from pytest_prunecal.lab.reproducible import reproducible

SHAPE = (3, 8, 8)
IMAGES = torch.randn(10, *SHAPE, generator=torch.Generator().manual_seed(1))
CPU = torch.device("cpu")


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    ).eval()


def load(source, **offered):
    return built.load(source, {"num_classes": 10, "width": 1.0} | offered, SHAPE, CPU, ("seed",), "it")


@torch.no_grad()
def test_a_module_in_evaluation_mode():
    found = load(lambda num_classes: net().train())  # noqa: ARG005 - builders may name it
    assert torch.equal(found.model(IMAGES), net()(IMAGES))
    assert found.state == load(net).state
    assert found.network is not None
    assert not found.costs


@torch.no_grad()
def test_a_module_itself_and_a_function():
    network = net()
    assert torch.equal(load(network).model(IMAGES), network(IMAGES))
    found = load(lambda: lambda images: {"logits": network(images)})
    assert torch.equal(found.model(IMAGES), network(IMAGES))
    assert found.network is None


def test_what_it_keeps_stays_out_of_the_next_one():
    class Counts(nn.Module):
        passes = 0

        def forward(self, images):
            self.passes += 1
            return images.flatten(1)[:, :10] * self.passes

    network = Counts()
    assert torch.equal(load(lambda: network).model(IMAGES), load(lambda: network).model(IMAGES))
    assert network.passes == 0


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_what_it_computes_in(dtype):
    found = load(lambda: net().to(dtype))
    logits = found.model(IMAGES)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, net().to(dtype)(IMAGES.to(dtype)).float())
    with torch.autocast("cpu", torch.bfloat16):  # of a protocol that computes in half precision
        assert torch.equal(found.model(IMAGES), logits)


def quantised():
    """A network of packed int8 layers of torch.ao."""
    from torch.ao.quantization import QConfigMapping, get_default_qconfig
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    if not torch.backends.quantized.supported_engines[1:]:
        pytest.skip("this torch has no engine for quantised layers")
    mapping = QConfigMapping().set_global(get_default_qconfig("x86"))
    prepared = prepare_fx(net(), mapping, (IMAGES,))
    prepared(IMAGES)
    return convert_fx(prepared)


@torch.no_grad()
def test_packed_layers_of_torch_ao():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = quantised()
    found = load(lambda: network)
    with reproducible(1):
        logits = found.model(IMAGES)
    assert torch.equal(logits, network(IMAGES))
    assert found.on_cpu
    # BN is folded into the conv, so its own parameters are gone.
    assert found.costs["parameters"] == parameters(net()) - 8
    assert found.costs["macs"] == macs(net(), SHAPE)
    assert 0 <= found.costs["sparsity"] < 0.5
    other = copy.deepcopy(net())
    other[-1].weight.mul_(2)
    assert load(lambda: network).state == found.state != load(lambda: other).state


@torch.no_grad()
def test_packed_layers_may_do_nothing_else_that_is_not_deterministic():
    class Scattering(nn.Module):
        def forward(self, images):
            del images
            return torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2), accumulate=False)

    with reproducible(1), pytest.raises(UserWarning, match="does not have a deterministic implementation"):
        built.Packed(Scattering())(IMAGES)


@torch.no_grad()
def test_weights_of_torchao():
    quantization = pytest.importorskip("torchao.quantization")
    network = net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantization.quantize_(network, quantization.Int8WeightOnlyConfig())
        found = load(lambda: network)
        assert torch.equal(found.model(IMAGES), network(IMAGES))
    assert found.costs["parameters"] == parameters(net())
    assert macs(found.network, SHAPE) == macs(net(), SHAPE)
    assert found.state == load(lambda: network).state


def failing():
    raise ValueError("no such thing\nand more")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (failing, "it: its builder fails: ValueError: no such thing ("),
        (
            lambda: 3,
            "it: its builder returned a int; wanted an nn.Module, or a function from images to logits",
        ),
        (
            lambda classes: classes,
            "it: its builder is given num_classes, width: missing a required argument: ",
        ),
        ("nowhere:net", "it: module 'nowhere' cannot be imported: "),
    ],
)
def test_what_cannot_be_built_is_one_sentence(source, says):
    with pytest.raises(PrunecalError) as caught:
        load(source)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
