"""A user's metrics have the standing of the built-in ones: paired, shown, under corruption, of networks."""

import json

METRICS = """\
from pytest_prunecal import Metric


def pytest_prunecal_models(config):
    return {"tinynet": "tiny:tiny"}


def pytest_prunecal_metrics(config):
    mine = [
        Metric(
            "margin",
            function="mine:margin",
            paired=True,
            shown=True,
            title="my margin",
            higher_is_better=True,
        ),
        Metric(
            "corrupted_margin",
            function="mine:margin",
            where="corrupted images",
            paired=True,
            higher_is_better=True,
        ),
        Metric("convs", function="mine:convs", where="network", count=True, higher_is_better=False),
    ]
    return {metric.name: metric for metric in mine}
"""
MINE = '''\
import torch


def margin(logits, labels):
    """By how much the label's probability beats chance."""
    return torch.softmax(logits, 1)[torch.arange(len(labels)), labels] - 1 / logits.shape[1]


def convs(network):
    return sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())
'''
CELLS = ("--prunecal-pruners=weight", "--prunecal-ratios=0,0.5")


def add_metrics(project):
    project.write({"conftest.py": METRICS, "mine.py": MINE})


def report_of(project, *args):
    outcome = project.gate("--prunecal-json=run.json", *CELLS, *args)
    report = json.loads((project.path / "run.json").read_text())
    return outcome, {cell["id"]: cell for cell in report["models"][0]["cells"]}


def test_they_are_measured_compared_and_shown(auto):
    add_metrics(auto)
    assert auto.gate("--prunecal-update").ret == 0
    outcome, cells = report_of(auto, "--prunecal-fresh")
    assert outcome.ret == 0
    assert "my margin" in outcome.line("cell ")
    cell = cells["weight-0.5"]
    own = ("margin", "corrupted_margin")
    assert all(name in cell["evidence"]["changes"] for name in own)
    assert all(cell["metrics"][name]["uncertainty"]["measured"]["se"] > 0 for name in own)
    assert {cell["metrics"][name]["comparison"]["kind"] for name in own} == {"same seed"}
    assert cell["metrics"]["convs"]["measured"] == 2
    assert set(cell["corrupted"]["contrast"]["1"]) == {"accuracy", "ece", "nll", "brier", "margin"}
    levels = [scores["margin"] for one in cell["corrupted"].values() for scores in one.values()]
    assert abs(cell["metrics"]["corrupted_margin"]["measured"] - sum(levels) / len(levels)) < 1e-12


def test_results_by_image_from_before_they_existed_still_read(auto):
    before = [*auto.baseline.parent.glob("*.zip")]
    add_metrics(auto)
    outcome, cells = report_of(auto)
    assert outcome.cells == {"dense": "failed", "weight-0.5": "failed"}
    assert "margin has no accepted number" in outcome.message("dense")
    assert set(cells["weight-0.5"]["evidence"]["changes"]) == {
        *("accuracy", "ece", "nll", "brier", "mpc", "rpc", "corrupted_ece"),
    }
    # One cell accepted with them, the others as they were: both stand in one file, and both are compared.
    assert auto.gate("--prunecal-ratios=0", "--prunecal-update").ret == 0
    assert [*auto.baseline.parent.glob("*.zip")] != before
    outcome, cells = report_of(auto)
    assert outcome.cells == {"dense": "passed", "weight-0.5": "failed"}
    assert cells["dense"]["metrics"]["margin"]["comparison"]["kind"] == "exact"
    assert cells["weight-0.5"]["metrics"]["accuracy"]["comparison"]["kind"] == "same seed"


def test_a_row_that_cannot_be_is_refused(project):
    for row, says in (
        ('"mine", higher_is_better=True', "without a function"),
        ('"mine", function="mine:margin", where="images of cats", higher_is_better=True', "'images of cats'"),
        ('"mine", function="mine:convs", where="network", paired=True, higher_is_better=True', "as paired"),
        ('"mine", quotient=("mpc", "sparsity"), higher_is_better=True', "a quotient of 'sparsity'"),
    ):
        hook = f"def pytest_prunecal_metrics(config):\n    return {{'mine': Metric({row})}}\n"
        project.write({"conftest.py": f"from pytest_prunecal import Metric\n{hook}", "mine.py": MINE})
        outcome = project.run("--prunecal-models=vgg19")
        assert outcome.ret == 4
        assert "conftest.py adds metric 'mine'" in outcome.err
        assert says in outcome.err
