"""What a cell computes before training noise sets in: another ruler fails, another training is told."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from pytest_prunecal.lab.evaluation import corrupted_sets

FEW = ("--prunecal-ratios=0,0.5", "--prunecal-pruners=weight")
EVALUATED = "        return self.head(maps.mean((2, 3)))\n"
LOUDER = """\
        logits = self.head(maps.mean((2, 3)))
        return logits if self.training else 1.01 * logits
"""

OWN_PRUNER = '''\
import torch
from pytest_prunecal import Pruned, Pruner


def quantile(model, ratio):
    """Zero the smallest of each conv's weights."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                size = module.weight.abs()
                module.weight[size < size.flatten().quantile(ratio)] = 0.0
    return Pruned(model)


pruner = Pruner(quantile)
'''


@pytest.fixture
def in_a_worker_or_not(monkeypatch):
    """What this test suite's own xdist says must not be taken for the inner one's."""
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)


def images_of(seed):
    """Images of ten classes, each brighter in another corner."""
    draw = np.random.default_rng(seed)
    parts = {}
    for part, count in (("train", 100), ("test", 60)):
        labels = np.arange(count) % 10
        pixels = draw.integers(0, 120, (count, 8, 8, 3))
        for image, label in zip(pixels, labels, strict=True):
            image[label % 8, label // 5 :: 2] += 100
        parts |= {f"x_{part}": pixels.astype(np.uint8), f"y_{part}": labels}
    return parts


@pytest.fixture
def own_data(project):
    """A project whose data set is a file of the user's, its numbers accepted from pinned base networks."""
    project.allow_noise()
    project.edit(
        "{name: digits, size: 8, train: 150, test: 60}", "{name: arrays, path: own.npz}", "tiny.yaml"
    )
    np.savez(project.path / "own.npz", **images_of(1))
    assert project.gate(*FEW, "--prunecal-update").ret == 0
    return project


def identical(project, *options):
    outcome = project.gate(*FEW, *options)
    return outcome.ret == 0 and "2 cells: 2 identical" in outcome.out


def changed(outcome, says, cells=("dense", "weight-0.5")):
    """Whether these cells failed as changed, each saying why."""
    assert outcome.ret == 1, outcome.text
    assert [cell for cell, ended in outcome.cells.items() if ended == "failed"] == list(cells)
    for cell in cells:
        assert outcome.message(cell).partition("changed: ")[2].startswith(says), outcome.message(cell)
    assert outcome.seeds == dict.fromkeys(outcome.cells, 1)
    return True


def test_one_test_image_that_differs_is_another_data_set(own_data):
    parts = images_of(1)
    parts["x_test"][7, 3, 3] += 1
    np.savez(own_data.path / "own.npz", **parts)
    assert changed(own_data.gate(*FEW), "the data set differs")
    assert own_data.gate(*FEW, "--prunecal-update").ret == 0
    assert identical(own_data)


@pytest.mark.usefixtures("in_a_worker_or_not")
def test_the_controller_says_what_the_worker_says(own_data):
    parts = images_of(1)
    parts["x_test"][7, 3, 3] += 1
    np.savez(own_data.path / "own.npz", **parts)
    outcome = own_data.gate(*FEW, "-n", "2")
    assert outcome.ret == 1
    assert set(outcome.cells.values()) == {"failed"}
    assert "2 cells: 2 changed" in outcome.out


def test_other_labels_are_another_data_set(own_data):
    parts = images_of(1)
    parts["y_test"][[7, 8]] = parts["y_test"][[8, 7]]
    np.savez(own_data.path / "own.npz", **parts)
    outcome = own_data.gate(*FEW)
    assert outcome.ret == 1
    assert "the data set differs" in outcome.message("weight-0.5")


def test_one_corruption_that_is_drawn_otherwise_is_another_ruler(sure, monkeypatch):
    corrupt = corrupted_sets.corrupt

    def patched(images, name, severity, *, seed=0, **options):
        found = corrupt(images, name, severity, seed=seed, **options)
        if name == "contrast":
            found[:, 0, 0, 0] ^= 8
        return found

    shutil.rmtree(sure.path / ".prunecal/corrupted")
    monkeypatch.setattr(corrupted_sets, "corrupt", patched)
    assert changed(sure.gate(*FEW), "the corrupted images differ")
    for options in (["--prunecal-update=missing"], ["--prunecal-changed=fail"], ["--prunecal-repeat=1"]):
        assert sure.gate(*FEW, *options).ret == 1
    assert sure.gate(*FEW, "--prunecal-update=failing").ret == 0
    assert identical(sure)


def test_another_evaluation_of_the_base_network_is_another_ruler(sure):
    sure.edit(EVALUATED, LOUDER, "tiny.py")
    assert changed(sure.gate(*FEW), "the evaluation of the base network differs")


def test_a_known_regression_does_not_excuse_another_ruler(sure):
    sure.edit("  weight-0.5:\n", "  weight-0.5:\n    known: a slow sensor\n")
    sure.edit(EVALUATED, LOUDER.replace("1.01", "3"), "tiny.py")
    outcome = sure.gate(*FEW)
    assert outcome.cells == {"dense": "failed", "weight-0.5": "failed"}


def test_a_refactoring_may_be_asked_to_change_nothing(sure):
    assert sure.gate(*FEW, "--prunecal-changed=fail").ret == 0
    sure.tune(worse=False)
    outcome = sure.gate(*FEW, "--prunecal-changed=fail")
    assert changed(outcome, "fine-tuning differs from step 1 on", cells=["weight-0.5"])
    assert sure.gate(*FEW).ret == 0
    assert sure.gate(*FEW, "--prunecal-changed=tell").ret == 0
    sure.edit("pythonpath", "prunecal_changed = fail\npythonpath", "pytest.ini")
    assert sure.gate(*FEW).ret == 1
    assert sure.gate(*FEW, "--prunecal-changed=tell").ret == 0
    assert sure.gate(*FEW, "--prunecal-update=failing").ret == 0
    assert identical(sure)


def test_a_comment_is_no_other_training(sure):
    sure.edit("import os\n", "import os  # by name\n", "tiny.py")
    assert identical(sure, "--prunecal-changed=fail")


def test_a_pruner_of_the_users_own_that_prunes_otherwise_is_told(project):
    project.allow_noise()
    project.write(
        {
            "mine.py": OWN_PRUNER,
            "conftest.py": "def pytest_prunecal_models(config):\n"
            '    return {"tinynet": "tiny:tiny"}\n\n'
            "def pytest_prunecal_pruners(config):\n"
            '    return {"mine": "mine:pruner"}\n',
        }
    )
    few = ("--prunecal-ratios=0.5", "--prunecal-pruners=mine")
    assert project.gate(*few, "--prunecal-update").ret == 0
    assert project.gate(*few, "--prunecal-changed=fail").ret == 0
    project.edit("weight.abs()", "weight.add(0.01).abs()", "mine.py")
    outcome = project.gate(*few, "--prunecal-changed=fail")
    assert changed(outcome, "pruning differs", cells=["mine-0.5"])
    assert project.gate(*few).ret == 0
