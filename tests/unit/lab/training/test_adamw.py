"""AdamW, bit by bit against torch's own."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_prunecal.lab.training.adamw import AdamW
from pytest_prunecal.study import protocol_file

RECIPE = protocol_file.load("quick", Path()).finetune
RATES = (0.0, 0.1, 0.003, 0.02, 0.02)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(80, 4), nn.Linear(7, 7)
    )


def with_gradients(model, step):
    """Gradients for the conv and, from the third step on, the first linear layer alone."""
    draw = torch.Generator().manual_seed(step)
    for parameter in [*model[0].parameters(), *(model[3].parameters() if step > 1 else ())]:
        parameter.grad = torch.randn(parameter.shape, generator=draw)


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize(("betas", "eps"), [((0.9, 0.999), 1e-8), ((0.0, 0.5), 1e-3), ((0.95, 0.98), 1e-6)])
def test_it_is_torchs_to_the_last_bit(betas, eps, weight_decay):
    recipe = dataclasses.replace(RECIPE, optimiser="adamw", betas=betas, eps=eps, weight_decay=weight_decay)
    start = network()
    mine, theirs = copy.deepcopy(start), copy.deepcopy(start)
    ours = AdamW(mine.parameters(), recipe)
    reference = torch.optim.AdamW(
        theirs.parameters(), lr=1, betas=betas, eps=eps, weight_decay=weight_decay, fused=True
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


def test_nothing_has_a_gradient():
    parameter = nn.Parameter(torch.ones(3))
    AdamW([parameter], dataclasses.replace(RECIPE, optimiser="adamw")).step(0.1)
    assert torch.equal(parameter, torch.ones(3))
