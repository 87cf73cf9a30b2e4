"""SGD, bit by bit against torch's own."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_prunecal.lab.training.sgd import SGD
from pytest_prunecal.study import protocol_file

RECIPE = protocol_file.load("quick", Path()).finetune
RATES = (0.0, 0.1, 0.3, 0.02, 0.02)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(80, 4), nn.Linear(7, 7)
    )


def with_gradients(model, step):
    """Gradients for the conv and the first linear layer alone."""
    draw = torch.Generator().manual_seed(step)
    for parameter in [*model[0].parameters(), *model[3].parameters()]:
        parameter.grad = torch.randn(parameter.shape, generator=draw)


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_it_is_torchs_to_the_last_bit(momentum, nesterov, weight_decay):
    recipe = dataclasses.replace(RECIPE, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
    start = network()
    mine, theirs = copy.deepcopy(start), copy.deepcopy(start)
    ours = SGD(mine.parameters(), recipe)
    reference = torch.optim.SGD(
        theirs.parameters(), lr=1, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )
    for step, rate in enumerate(RATES):
        reference.param_groups[0]["lr"] = rate
        with_gradients(mine, step)
        with_gradients(theirs, step)
        ours.step(rate)
        reference.step()
        for found, expected in zip(mine.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(found, expected)
        ours.zero_grad()
        reference.zero_grad()
        assert all(parameter.grad is None for parameter in mine.parameters())
    moved = [not torch.equal(a, b) for a, b in zip(start.parameters(), mine.parameters(), strict=True)]
    assert moved == [True, True, False, False, True, True, False, False]


def test_a_first_gradient_may_come_late():
    # As in networks that skip layers at random; torch's fused optimiser fails there.
    early, late = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimiser = SGD([early, late], dataclasses.replace(RECIPE, weight_decay=0.0))
    early.grad = torch.ones(3)
    optimiser.step(0.1)
    assert torch.equal(late, torch.ones(3))
    late.grad = torch.ones(3)
    optimiser.step(0.1)
    optimiser.zero_grad()
    late.grad = torch.ones(3)
    optimiser.step(0.1)
    torch.testing.assert_close(early.detach(), torch.full((3,), 1 - 0.1 - 0.19))
    torch.testing.assert_close(late.detach(), torch.full((3,), 1 - 0.1 - 0.19))
