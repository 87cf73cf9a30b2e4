"""The check of a network where it enters: what it leaves as it was."""

import copy
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.forward import Forward, Normalisation, logits_of
from pytest_prunecal.lab.models.entry import Entry, own_copy
from pytest_prunecal.lab.own_code import told

FORWARD = Forward(Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)))
IMAGES = torch.arange(2 * 3 * 8 * 8).view(2, 3, 8, 8).to(torch.uint8)
CPU = torch.device("cpu")


class Restless(nn.Module):
    """Counts its calls, gathers statistics and draws."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 10)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        self.calls += 1
        return self.head(self.norm(self.conv(images)).mean((2, 3))) + torch.rand(())


@pytest.mark.parametrize("trained", [True, False])
def test_neither_network_nor_generator_changes(trained):
    network = Restless().train()
    network.norm.eval()
    before, modes = copy.deepcopy(network.state_dict()), [module.training for module in network.modules()]
    torch.manual_seed(3)
    Entry(IMAGES, 10, FORWARD, CPU, trained=trained).check(network, "it")
    after = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(3))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert modes == [module.training for module in network.modules()]
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_network_that_is_never_trained_need_not_be_trainable():
    frozen = Restless().requires_grad_(requires_grad=False)
    Entry(IMAGES, 10, FORWARD, CPU, trained=False).check(frozen, "it")
    with pytest.raises(PrunecalError, match="no parameter that can be trained"):
        Entry(IMAGES, 10, FORWARD, CPU, trained=True).check(frozen, "it")


def test_what_a_builder_gives_again_is_not_trained_further():
    shared = Restless()
    first, again = (own_copy(shared, IMAGES, FORWARD, "it") for _ in range(2))
    with torch.no_grad():
        first.conv.weight.zero_()
    assert torch.equal(again.conv.weight, shared.conv.weight)
    assert shared.calls == 0


def test_a_lazy_network_gets_its_parameters_and_keeps_its_mode():
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(10)).train()
    network = own_copy(lazy, IMAGES, FORWARD, "it")
    assert network[3].weight.shape == (10, 4 * 36)
    assert all(module.training for module in network.modules())
    assert network[1].num_batches_tracked == 0
    Entry(IMAGES, 10, FORWARD, CPU, trained=True).check(network, "it")


@pytest.mark.parametrize("found", [None, 3, (), {}, {"logits": None}, torch.arange(3), [torch.arange(3)]])
def test_what_holds_no_logits(found):
    with pytest.raises(PrunecalError, match=r"^wanted logits, float \(N, classes\), .*; got "):
        logits_of(found)


def test_an_error_is_told_with_the_users_innermost_line():
    def within(images):
        return nn.Linear(3, 3)(images)

    with pytest.raises(RuntimeError) as caught:
        within(IMAGES)
    text = told(caught.value)
    assert text.startswith("RuntimeError: ")
    assert text.endswith(", in within)")
    assert f"{Path(__file__).name}:" in text
    assert "\n" not in text


def test_an_error_without_a_line_of_the_users_is_told_without():
    assert told(KeyError()) == "KeyError"
    with pytest.raises(TypeError) as caught:
        copy.deepcopy(threading.Lock())
    error = caught.value.with_traceback(caught.value.__traceback__.tb_next)  # less this test's own line
    assert told(error) == "TypeError: cannot pickle '_thread.lock' object"


def test_images_that_are_too_small_are_told_with_a_size_that_works():
    large = nn.Sequential(
        nn.Conv2d(3, 4, 11, 4), nn.MaxPool2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    )
    with pytest.raises(
        PrunecalError, match=r"fails on 2 images of 3x8x8: .*; it works on images of 32x32: give"
    ):
        Entry(IMAGES, 10, FORWARD, CPU, trained=True).check(large, "it")
