"""Real code faults, planted one at a time, against the shipped baselines: the right cells fail.

What is asserted holds on every machine and torch, whose rounding makes other networks of the same recipe: a
cell fails where the fault outdoes its noise by far, or has none to outdo, and never where there is no fault.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

BASELINES = Path(__file__).parents[2] / "baselines"
CELLS = {"dense", "weight-0.5", "filter-0.5", "channel-0.5"}

SMALLEST_WEIGHTS_KEPT = """
from pytest_prunecal.lab.pruners import weight

magnitudes = weight.magnitudes
weight.magnitudes = lambda values: -magnitudes(values)
"""

LOGITS_TIMES_THREE = """
from pytest_prunecal.lab.evaluation import evaluate as evaluation

predict = evaluation.predict
evaluation.predict = lambda *args, **kwargs: 3 * predict(*args, **kwargs)
"""

FINE_TUNING_AT_100_TIMES_THE_RATE = """
from dataclasses import replace

from pytest_prunecal.lab.training.trainer import Trainer

train = Trainer.train

def at_100_times_the_rate(self, network, recipe, generator, pressure):
    if recipe is self.protocol.finetune:
        recipe = replace(recipe, learning_rate=100 * recipe.learning_rate)
    train(self, network, recipe, generator, pressure)

Trainer.train = at_100_times_the_rate
"""

CORRUPTIONS_TWICE = """
from pytest_prunecal.lab.evaluation import corrupted_sets as corrupted

corrupt = corrupted.corrupt

def twice(images, name, severity, *, seed):
    return corrupt(corrupt(images, name, severity, seed=seed), name, severity, seed=seed + 1)

corrupted.corrupt = twice
"""

A_TENTH_MORE_IS_PRUNED = """
from dataclasses import replace
from importlib import import_module

def more(pruner):
    prune = pruner.prune
    return replace(pruner, prune=lambda model, ratio: prune(model, ratio + 0.1))

for name in ("weight", "filter", "channel"):
    module = import_module(f"pytest_prunecal.lab.pruners.{name}")
    prune = module.prune
    module.prune = lambda model, ratio, *example, prune=prune: prune(model, ratio + 0.1, *example)
"""


@dataclass(frozen=True)
class Gate:
    """A run of the gate on four cells of vgg19.

    Attributes:
        text: what pytest printed.
        failed: ids of the cells that failed; `together` for all of them at once.
        regressed: metrics that got worse than they may, by cell and `together`; structure that changed, too.
        changed: ids of cells whose ruler is not what it was.
        numbers: by cell and metric, in full precision.
    """

    text: str
    failed: set[str]
    regressed: dict[str, set[str]]
    changed: set[str]
    numbers: dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    """Run the gate with a fault in the conftest; each fault once."""

    @cache
    def run(fault: str = "") -> Gate:
        folder = tmp_path_factory.mktemp("gate")
        shutil.copytree(BASELINES, folder / "baselines")
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "conftest.py").write_text(fault)
        grid = ("--prunecal-models=vgg19", "--prunecal-ratios=0,0.5")
        command = [sys.executable, "-m", "pytest", *grid, "-p", "no:xdist", "-rA", "--prunecal-json=run.json"]
        own = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST", "GITHUB"))}
        own["COLUMNS"] = "300"  # pytest cuts its short summary to the terminal
        result = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False)
        assert result.returncode in (0, 1), result.stdout + result.stderr
        (model,) = json.loads((folder / "run.json").read_text())["models"]
        return outcome(result.stdout, model)

    return run


def outcome(text: str, model: dict) -> Gate:
    """What a run printed and what it reported, which must agree on what failed."""
    lines = re.findall(r"^(PASSED|FAILED) \S*vgg19\.yaml::prune\[([^]]+)\]", text, re.MULTILINE)
    assert {cell for _, cell in lines} - {"together"} == CELLS
    failed = {cell for word, cell in lines if word == "FAILED"}
    rows = {cell["id"]: cell["metrics"].items() for cell in model["cells"]}
    regressed = {
        cell: {name for name, row in metrics if row["status"] in ("regression", "changed")}
        for cell, metrics in rows.items()
    }
    regressed["together"] = {row["metric"] for row in model["together"] if row["status"] == "regression"}
    changed = {cell["id"] for cell in model["cells"] if cell["label"] == "changed"}
    assert {cell for cell, names in regressed.items() if names} | changed == failed, text
    numbers = {cell: {name: row["measured"] for name, row in metrics} for cell, metrics in rows.items()}
    return Gate(text, failed, regressed, changed, numbers)


def explains_itself(text):
    """What a failure says, to a stranger."""
    block = text[text.index("_ vgg19 weight-0.5 _") :]
    assert re.search(r"^regression: accuracy 0\.\d{4} -> 0\.\d{4}", block, re.MULTILINE)
    assert re.search(
        r"vgg19 weight-0\.5 under protocol quick, against baselines/quick/vgg19\.yaml:\d+", block
    )
    assert re.search(
        r"^metric +baseline +measured +change +allowed +caught from +tolerance", block, re.MULTILINE
    )
    number = r" +-?0\.\d{4}"
    line = (
        rf"^accuracy{number} +±\S+{number} +±\S+{number}{number}{number} +auto \(protocol quick\) +regression"
    )
    assert re.search(line, block, re.MULTILINE)
    assert re.search(
        r"^compared over 5 seeds against the mean of \d+ accepted seeds: .*accuracy", block, re.MULTILINE
    )
    cell = "--prunecal-models=vgg19 --prunecal-pruners=weight --prunecal-ratios=0.5"
    assert f"pytest {cell} --prunecal-update" in block


def test_sound_code_passes(gate):
    assert gate().failed == set(), gate().text


@pytest.mark.slow  # a cell that fails is measured over five seeds
def test_weight_pruner_keeping_the_smallest_weights(gate):
    sound, faulty = gate(), gate(SMALLEST_WEIGHTS_KEPT)
    assert "weight-0.5" in faulty.failed
    assert "accuracy" in faulty.regressed["weight-0.5"]
    # All cells together may fail too, and then by this one: the others are what they were.
    assert faulty.failed <= {"weight-0.5", "together"}
    for cell in CELLS - {"weight-0.5"}:
        assert faulty.numbers[cell] == sound.numbers[cell], cell
    explains_itself(faulty.text)


def test_logits_multiplied_by_three(gate):
    faulty = gate(LOGITS_TIMES_THREE)
    # The dense network is the pinned one, without any noise; the others show it together at the latest.
    assert {"dense", "together"} <= faulty.failed
    for cell in faulty.failed - faulty.changed:
        assert "corrupted_ece" in faulty.regressed[cell], cell
    for cell in faulty.failed:
        assert "accuracy" not in faulty.regressed[cell], cell  # which is what makes this fault hard to notice


@pytest.mark.slow
def test_fine_tuning_at_100_times_its_rate(gate):
    sound, faulty = gate(), gate(FINE_TUNING_AT_100_TIMES_THE_RATE)
    assert faulty.failed == {"weight-0.5", "filter-0.5", "channel-0.5", "together"}
    assert faulty.numbers["dense"] == sound.numbers["dense"]


@pytest.mark.slow
def test_corruptions_applied_twice(gate):
    faulty = gate(CORRUPTIONS_TWICE)
    assert faulty.failed == CELLS | {"together"}
    assert {"mpc", "rpc", "corrupted_ece"} <= faulty.regressed["dense"]  # no noise hides any of it
    assert "mpc" in faulty.regressed["together"]
    for cell in faulty.failed - faulty.changed:
        assert {"mpc", "rpc"} & faulty.regressed[cell], cell
    for cell in faulty.failed:
        assert "accuracy" not in faulty.regressed[cell], cell


@pytest.mark.slow
def test_a_tenth_more_is_pruned(gate):
    faulty = gate(A_TENTH_MORE_IS_PRUNED)
    assert faulty.failed >= {"weight-0.5", "filter-0.5", "channel-0.5"}
    assert "sparsity" in faulty.regressed["weight-0.5"]
    for cell in ("filter-0.5", "channel-0.5"):
        assert {"parameters", "macs"} <= faulty.regressed[cell], cell
