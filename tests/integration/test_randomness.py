"""Whatever the user's own code draws from whichever generator, numbers are those of the cell."""

from __future__ import annotations

import shutil

import pytest

NOISY = """\
import random

import numpy as np
import torch
from torch import nn

from pytest_prunecal import Dataset, Pruned, Pruner


def draw():
    return float(torch.rand(())) + float(np.random.rand()) + random.random()


AT_IMPORT = draw()


class Noisy(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.head = nn.Linear(6, num_classes)
        self.offset = draw()  # in no state_dict

    def forward(self, images):
        maps = torch.relu(self.conv(images + draw()))
        kept = torch.from_numpy(np.random.binomial(1, 0.8, (6, 1, 1))).to(maps)
        features = nn.functional.dropout(maps * kept, 0.2).mean((2, 3))
        return self.head(features) + (self.offset + AT_IMPORT) * random.random()


def prune(model, ratio):
    weight = model.conv.weight
    mask = torch.rand(weight.shape) > ratio
    mask[random.randrange(6)] = np.random.rand() > ratio
    with torch.no_grad():
        weight.mul_(mask.to(weight))
    return Pruned(model, {"conv.weight": mask})


noisy = Pruner(prune)
slimmed = Pruner(prune, slimming=True)


def of_images(logits, labels):
    return float(logits.mean()) + draw()


def of_each(logits, labels):
    return torch.rand(len(labels)) + draw()


def of_network(network):
    return float(network.head.weight.sum()) + draw()


def images(root, *, count):
    pixels = torch.from_numpy(np.random.randint(0, 256, (count, 3, 8, 8), np.uint8))
    labels = torch.randint(0, 3, (count,))
    return Dataset("noise", pixels, labels, pixels, labels, classes=3)
"""
HOOKS = """\
import os

from pytest_prunecal import Metric


def pytest_collection_modifyitems(items):
    if "BACKWARDS" in os.environ:
        items.reverse()


def pytest_prunecal_models():
    return {"noisynet": "noisy:Noisy"}


def pytest_prunecal_pruners():
    return {"noisy": "noisy:noisy", "slimmed": "noisy:slimmed"}


def pytest_prunecal_datasets():
    return {"noise": "noisy:images"}


def pytest_prunecal_metrics():
    own = [
        Metric("images", higher_is_better=True, function="noisy:of_images"),
        Metric("each", higher_is_better=True, paired=True, function="noisy:of_each"),
        Metric("corrupted", higher_is_better=True, where="corrupted images", function="noisy:of_images"),
        Metric("whole", higher_is_better=True, where="network", function="noisy:of_network"),
    ]
    return {metric.name: metric for metric in own}
"""
ASKED = (
    *("--prunecal-models=noisynet", "--prunecal-pruners=weight,noisy,slimmed", "--prunecal-ratios=0,0.5"),
    *("--prunecal-update", "--prunecal-store=kept"),
)
CELLS = ["dense", "noisy-0.5", "slimmed-0.5", "weight-0.5"]


@pytest.fixture
def noisy(project):
    project.write({"noisy.py": NOISY, "conftest.py": HOOKS})
    project.edit(
        "dataset: {name: digits, size: 8, train: 150, test: 60}",
        "dataset: {name: noise, count: 40}",
        "tiny.yaml",
    )
    project.edit("base: {epochs: 6", "base: {epochs: 2", "tiny.yaml")
    return project


def measured(project, *options):
    outcome = project.run(*ASKED, *options)
    assert (outcome.ret, sorted(outcome.cells)) == (0, CELLS), outcome.text
    return outcome.numbers


def forget(project, *kinds):
    for kind in kinds:
        shutil.rmtree(project.path / "kept" / kind)


def test_numbers_are_the_same_warm_and_cold_in_any_order_and_worker(noisy, monkeypatch):
    asked = "--prunecal-seeds=2"
    cold = measured(noisy, asked, "-n", "0")
    assert measured(noisy, asked, "--prunecal-fresh") == cold
    forget(noisy, "measurement", "evaluation")
    assert measured(noisy, asked) == cold  # base networks were there
    forget(noisy, "measurement", "base")
    assert measured(noisy, asked) == cold  # only their evaluations were
    assert measured(noisy, asked) == cold  # everything was
    assert measured(noisy, asked, "--prunecal-store=other", "-n", "2") == cold
    monkeypatch.setenv("BACKWARDS", "1")
    assert measured(noisy, asked, "--prunecal-store=backwards") == cold


def test_a_network_that_draws_when_it_is_evaluated_draws_for_each_cell_and_seed_anew(noisy):
    numbers = measured(noisy)
    values = [cell["images"] for cell in numbers.values()]
    assert len(set(values)) == len(values)


def test_generators_of_the_users_own_tests_go_on_as_they_were(noisy):
    noisy.write(
        {
            "test_own.py": """\
import random

import numpy as np
import torch


def draws():
    return float(torch.rand(())), float(np.random.rand()), random.random()


def seed():
    torch.manual_seed(3), np.random.seed(3), random.seed(3)


def test_own(prunecal):
    seed()
    expected = draws()
    seed()
    prunecal.measure("noisynet", "noisy", 0.5)
    assert draws() == expected
"""
        }
    )
    assert noisy.run("test_own.py").ret == 0
