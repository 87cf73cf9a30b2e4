"""Real code faults, planted one at a time, against the shipped baselines: the right cells fail."""

from __future__ import annotations

import re
import shutil
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


@pytest.fixture
def gate(pytester, monkeypatch):
    """Run the gate on four cells of vgg19 with a fault in the conftest; gives outcomes and text."""

    monkeypatch.setenv("COLUMNS", "300")  # pytest cuts its short summary to the terminal

    def run(fault: str = "") -> tuple[dict[str, str], str]:
        shutil.copytree(BASELINES, pytester.path / "baselines")
        pytester.makeconftest(fault)
        result = pytester.runpytest_subprocess(
            "--prunecal-models=vgg19", "--prunecal-ratios=0,0.5", "-p", "no:xdist", "-rA"
        )
        text = result.stdout.str()
        outcomes = re.findall(r"^(PASSED|FAILED) \S*vgg19\.yaml::prune\[([^]]+)\]", text, re.MULTILINE)
        return {cell: outcome.lower() for outcome, cell in outcomes}, text

    return run


def failed(outcomes: dict[str, str]) -> set[str]:
    assert set(outcomes) - {"together"} == CELLS
    return {cell for cell, outcome in outcomes.items() if outcome == "failed"}


def reasons(text: str) -> dict[str, str]:
    """What pytest's short summary says of each failed cell."""
    return dict(re.findall(r"^FAILED \S*prune\[([^]]+)\] - (.*)$", text, re.MULTILINE))


def test_sound_code_passes(gate):
    outcomes, text = gate()
    assert failed(outcomes) == set(), text


def test_weight_pruner_keeping_the_smallest_weights(gate):
    outcomes, text = gate(SMALLEST_WEIGHTS_KEPT)
    assert failed(outcomes) == {"weight-0.5"}
    assert "regression: accuracy" in reasons(text)["weight-0.5"]


def test_logits_multiplied_by_three(gate):
    outcomes, text = gate(LOGITS_TIMES_THREE)
    # The dense network is the pinned one, without any noise; the others show it together at the latest.
    assert {"dense", "together"} <= failed(outcomes)
    for cell, reason in reasons(text).items():
        assert "corrupted_ece" in reason, cell
        assert "accuracy" not in reason, cell  # which is what makes this fault hard to notice


def test_fine_tuning_at_100_times_its_rate(gate):
    outcomes, text = gate(FINE_TUNING_AT_100_TIMES_THE_RATE)
    assert failed(outcomes) == {"weight-0.5", "filter-0.5", "channel-0.5", "together"}
    assert set(reasons(text)) == failed(outcomes)


def test_corruptions_applied_twice(gate):
    outcomes, text = gate(CORRUPTIONS_TWICE)
    assert failed(outcomes) == CELLS | {"together"}
    for cell, reason in reasons(text).items():
        assert "mpc" in reason, cell
        assert "accuracy" not in reason, cell


def test_failure_explains_itself_to_a_stranger(gate):
    _, text = gate(SMALLEST_WEIGHTS_KEPT)
    block = text[text.index("_ vgg19 weight-0.5 _") :]
    assert re.search(r"^regression: accuracy 0\.\d{4} -> 0\.\d{4}", block, re.MULTILINE)
    assert re.search(
        r"vgg19 weight-0\.5 under protocol quick, against baselines/quick/vgg19\.yaml:\d+", block
    )
    assert re.search(r"^metric +baseline +measured +change +allowed +tolerance", block, re.MULTILINE)
    number = r" +-?0\.\d{4}"
    line = rf"^accuracy{number} +±\S+{number} +±\S+{number}{number} +auto \(protocol quick\) +regression"
    assert re.search(line, block, re.MULTILINE)
    assert "same base network, paired by image, 3 and 1 seeds" in block
    cell = "--prunecal-models=vgg19 --prunecal-pruners=weight --prunecal-ratios=0.5"
    assert f"pytest {cell} --prunecal-update" in block
