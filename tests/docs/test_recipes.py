"""CONTRIBUTING's recipes, tried: a small patch each that touches what its row promises, and works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = Path(__file__).with_name("recipes")
TRACKED = ("pytest_prunecal", "docs/reference")
PROTOCOL = """\
prunecal: 1
extends: quick
dataset: {name: digits, size: 8, train: 150, test: 60}
ratios: [0, 0.5]
base: {epochs: 4, learning_rate: 0.2, batch: 16, warmup: 0}
finetune: {epochs: 1, batch: 16}
evaluation: {corruptions: [contrast]}
"""
NET = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, num_classes)

    def forward(self, images):
        return self.head(torch.relu(self.conv(images)).mean((2, 3)))
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def tree(tmp_path):
    """A copy of the package and of the pages that recipes touch, to be patched."""
    place = tmp_path / "tree"
    for name in TRACKED:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    return place


@pytest.fixture
def apply(tree):
    """Apply a recipe's patch; gives the files that it touches, as CONTRIBUTING writes them."""

    def run(recipe):
        patch = RECIPES / f"{recipe}.patch"
        subprocess.run([shutil.which("git") or "git", "apply", str(patch)], cwd=tree, check=True)
        files = re.findall(r"^\+\+\+ b/(.+)$", patch.read_text(encoding="utf-8"), re.MULTILINE)
        return {file.removeprefix("pytest_prunecal/") for file in files}

    return run


@pytest.fixture
def gate(tree, tmp_path):
    """Run the gate of a tiny network on the patched tree; gives the exit status, the output and the cells."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "net.py").write_text(NET)
    (project / "tiny.yaml").write_text(PROTOCOL)
    (project / "pytest.ini").write_text("[pytest]\npythonpath = .\n")

    def run(*args):
        words = ("--prunecal-models=net:Net", "--prunecal-protocol=tiny.yaml", "--prunecal-json=run.json")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words, *args],
            cwd=project,
            env=os.environ | {"PYTHONPATH": str(tree)},
            capture_output=True,
            text=True,
            check=False,
        )
        report = json.loads((project / "run.json").read_text()) if (project / "run.json").exists() else {}
        cells = {cell["id"]: cell for model in report.get("models", ()) for cell in model["cells"]}
        return done.returncode, done.stdout + done.stderr, cells

    run.project = project
    return run


def promised(what):
    """What CONTRIBUTING's table says of a recipe."""
    recipes = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Recipes")[2]
    (row,) = (line for line in recipes.splitlines() if line.startswith(f"| {what} |"))
    return row.split("|")[2]


def kept(touched, what):
    """Whether each file that a patch touches is one that the table names, or in a folder that it names."""
    names = re.findall(r"`([^`]+)`", promised(what))
    places = [name for name in names if "/" in name]
    for file in touched:
        fits = [
            file == place
            or (place.endswith("/") and file.startswith(place))
            or (place.endswith("*.yaml") and Path(file).parent == Path(place).parent)
            for place in places
        ]
        assert any(fits), f"{file} is none of {places}"
    return len(touched)


def test_a_metric(apply, gate):
    assert kept(apply("metric"), "metric") == 4
    status, out, cells = gate("--prunecal-ratios=0", "--prunecal-update")
    assert status == 0, out
    number = cells["dense"]["metrics"]["confidence"]
    assert 0.1 < number["measured"] < 1
    assert number["uncertainty"]["measured"]["se"] > 0
    status, out, cells = gate("--prunecal-ratios=0", "--prunecal-fresh")
    assert status == 0, out
    assert "confidence" in cells["dense"]["evidence"]["changes"]


def test_a_pruner(apply, gate):
    assert kept(apply("pruner"), "pruner") == 2
    status, out, cells = gate("--prunecal-pruners=random", "--prunecal-ratios=0.5", "--prunecal-update")
    assert status == 0, out
    assert cells["random-0.5"]["metrics"]["sparsity"]["measured"] == 0.5


def test_a_column_of_the_failure_table(apply, gate):
    assert gate("--prunecal-pruners=weight", "--prunecal-update")[0] == 0
    (file,) = (gate.project / "baselines" / "tiny").glob("*.yaml")
    text = file.read_text()
    file.write_text(re.sub(r"parameters: \d+", "parameters: 1", text))
    assert kept(apply("column"), "column of the comparison table") == 1
    status, out, _ = gate("--prunecal-pruners=weight", "--prunecal-ratios=0.5")
    assert status == 1, out
    assert re.search(r"^metric +baseline .* p value +tolerance", out, re.MULTILINE), out


def test_an_option(apply, gate):
    assert kept(apply("option"), "option") == 3
    status, out, _ = gate("--prunecal-ratios=0", "--prunecal-update", "--prunecal-log=log.txt")
    assert status == 0, out
    assert (gate.project / "log.txt").read_text() == "net:Net dense seed 1\n"
    assert "--prunecal-log=PATH" in gate("--help")[1]


def test_a_data_set(apply, gate):
    assert kept(apply("dataset"), "data set") == 2
    (gate.project / "tiny.yaml").write_text(
        PROTOCOL.replace("digits, size: 8, train: 150, test: 60", "stripes")
    )
    status, out, cells = gate("--prunecal-ratios=0", "--prunecal-update")
    assert status == 0, out
    assert cells["dense"]["metrics"]["accuracy"]["measured"] > 0.8
