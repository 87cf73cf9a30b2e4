"""The forward pass: precision, and what it leaves as it was."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_prunecal.lab.forward import Forward, Normalisation, lay_out, memory_format
from pytest_prunecal.lab.models.resnet import resnet20
from pytest_prunecal.lab.reproducible import reproducible
from pytest_prunecal.lab.training.augmentation import Augmentation
from pytest_prunecal.lab.training.loop import Pressure, train
from pytest_prunecal.study import protocol_file

NORMALISATION = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
RECIPE = dataclasses.replace(protocol_file.load("quick", Path()).finetune, epochs=2, batch=8)


def data(count=24):
    draw = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=draw)
    return images, torch.randint(0, 10, (count,), generator=draw)


def network():
    torch.manual_seed(0)
    return resnet20(width=0.25)


def trained(precision):
    with reproducible(1):
        model, (images, labels) = network(), data()
        generator = torch.Generator().manual_seed(2)
        forward = Forward(NORMALISATION, precision)
        train(model, images, labels, RECIPE, forward, Augmentation(1, flip=True), generator, Pressure())
        with torch.no_grad():
            return model.state_dict(), forward.logits(model.eval(), images)


class Witness(nn.Module):
    """Notes what it is run under."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(192, 10)
        self.seen = []

    def forward(self, inputs):
        logits = self.layer(inputs.flatten(1))
        self.seen.append((torch.is_autocast_enabled("cpu"), inputs.dtype, logits.dtype))
        return logits


def test_float32_knows_no_autocast(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("autocast under float32")

    monkeypatch.setattr(torch, "autocast", refuse)
    model, (images, _) = Witness(), data()
    logits = Forward(NORMALISATION).logits(model, images)
    assert model.seen == [(False, torch.float32, torch.float32)]
    assert torch.equal(logits, model.layer(NORMALISATION.apply(images).flatten(1)))


def test_bfloat16_computes_in_bfloat16_and_gives_float32():
    model, (images, _) = Witness(), data()
    logits = Forward(NORMALISATION, "bfloat16").logits(model, images)
    assert model.seen == [(True, torch.float32, torch.bfloat16)]
    assert logits.dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")
    full = Forward(NORMALISATION).logits(model, images)
    assert not torch.equal(logits, full)
    torch.testing.assert_close(logits, full, rtol=0.05, atol=0.05)


def test_training_in_bfloat16_repeats_and_keeps_float32_weights():
    (state, logits), (again, logits_again), (full, full_logits) = (
        trained(precision) for precision in ("bfloat16", "bfloat16", "float32")
    )
    assert torch.equal(logits, logits_again)
    assert not torch.equal(logits, full_logits)
    assert logits.dtype == torch.float32
    for name, tensor in state.items():
        assert torch.equal(tensor, again[name])
        assert tensor.dtype == full[name].dtype == network().state_dict()[name].dtype
    assert not torch.equal(state["conv1.weight"], full["conv1.weight"])
    assert not torch.equal(state["bn1.running_mean"], full["bn1.running_mean"])


def test_a_cpu_keeps_the_layout_that_it_finds():
    assert memory_format(torch.device("cpu")) == torch.preserve_format
    assert memory_format(torch.device("cuda", 1)) == torch.channels_last
    model = network()
    state = copy.deepcopy(model.state_dict())
    parameters = list(model.parameters())
    lay_out(model, torch.device("cpu"))
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name])
        assert tensor.stride() == state[name].stride()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cuda_runs_channels_last(precision):
    device = torch.device("cuda")
    model, seen = network().to(device), []
    parameters = list(model.parameters())
    lay_out(model, device)
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert model.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    logits = Forward(NORMALISATION, precision).logits(model, data()[0].to(device))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert logits.dtype == torch.float32
