"""Rules of recovery: a compressed network against the dense one of the same run."""

import json
import shlex

import pytest

CONFTEST = """\
from copy import deepcopy

import torch
from pytest_prunecal import Pruned, Pruner


def broken(model):
    model = deepcopy(model)
    with torch.no_grad():
        model.head.weight.mul_(-1)
    return Pruned(model)


def same(model):
    return Pruned(deepcopy(model))


def pytest_prunecal_models(config):
    return {"tinynet": "tiny:tiny"}


def pytest_prunecal_pruners(config):
    return {
        "broken": Pruner(broken, levels=(), tunes=False),
        "same": Pruner(same, levels=(), tunes=False),
    }
"""
GRID = ("--prunecal-pruners=same,broken", "--prunecal-ratios=0")
BASELINE = "baselines/tiny/tinynet.yaml"


@pytest.fixture
def strict(project):
    """A project whose protocol asks that compression costs at most 0.05 of accuracy."""
    project.write({"conftest.py": CONFTEST})
    path = project.path / "tiny.yaml"
    path.write_text(
        path.read_text() + "false_alarms: 0.5\nrecovery: {accuracy: {abs: 0.05}, ece: {abs: 0.9}}\n"
    )
    return project


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_the_first_day_needs_no_baseline(strict, workers):
    outcome = strict.gate("--prunecal-pruners=same,broken", *workers, "--prunecal-json=r.json")
    assert outcome.ret == 1
    assert outcome.cells == {"same": "passed", "broken": "failed", "dense": "passed"}
    assert not (strict.path / "baselines").exists()
    report = json.loads((strict.path / "r.json").read_text())
    cells = {cell["id"]: cell for cell in report["models"][0]["cells"]}
    assert {name: cell["label"] for name, cell in cells.items()} == {
        "dense": "ok",
        "same": "recovered",
        "broken": "unrecovered",
    }
    accuracy, ece = cells["broken"]["recovery"]
    assert (accuracy["metric"], accuracy["status"], ece["status"]) == ("accuracy", "unrecovered", "ok")
    assert accuracy["dense"] == pytest.approx(cells["dense"]["metrics"]["accuracy"]["measured"], abs=1e-4)
    assert cells["same"]["recovery"][0]["share"] == pytest.approx(1, abs=0.1)
    assert cells["dense"]["recovery"] == []


def test_the_message_says_what_to_do_and_offers_no_acceptance(strict):
    message = strict.gate(*GRID).message("broken")
    first = message.splitlines()[0]
    assert first.startswith("unrecovered: accuracy 0.")
    assert "dense 0." in first
    line = 1 + (strict.path / "tiny.yaml").read_text().splitlines().index(
        "recovery: {accuracy: {abs: 0.05}, ece: {abs: 0.9}}"
    )
    assert f"0.05 worse (tiny.yaml:{line})" in message
    assert "accepting does not silence" in message
    assert "--prunecal-update" not in message


def test_an_update_accepts_and_does_not_silence_and_known_excuses(strict):
    updated = strict.gate(*GRID, "--prunecal-update")
    assert updated.cells == {"dense": "passed", "same": "passed", "broken": "failed"}
    assert "broken:" in strict.baseline.read_text()
    again = strict.gate(*GRID)
    assert again.cells["broken"] == "failed"
    assert "unrecovered in accuracy" in again.line("broken")
    strict.edit("  broken:\n", "  broken:\n    known: the classifier is upside down\n")
    excused = strict.gate(*GRID)
    assert excused.ret == 0
    assert excused.line("broken").endswith("known; unrecovered in accuracy")
    assert strict.gate(*GRID, "--prunecal-update").ret == 0
    assert strict.gate(*GRID, "--runxfail").ret == 1


def test_a_cell_that_the_file_lacks_is_missing_as_before(strict):
    assert strict.gate("--prunecal-pruners=same", "--prunecal-ratios=0", "--prunecal-update").ret == 0
    outcome = strict.gate(*GRID)
    message = outcome.message("broken")
    assert message.startswith("missing: no accepted numbers for this cell; accuracy 0.")
    command = shlex.split(message.splitlines()[-1])[1:]
    done = strict.run(*command)
    assert done.cells == {"broken": "failed"}  # accepted, and still short
    assert "  broken:" in strict.baseline.read_text()


def test_the_nearer_rule_counts_metric_by_metric(strict):
    strict.gate(*GRID, "--prunecal-update")
    strict.edit("cells:\n", "recovery: {accuracy: {abs: 0.9}}\ncells:\n")
    assert strict.gate(*GRID).ret == 0
    strict.edit("  broken:\n", "  broken:\n    recovery: {ece: {abs: 0.0001}, accuracy: 0.99}\n")
    outcome = strict.gate(*GRID)
    assert f"99% of dense ({BASELINE}:" in outcome.message("broken")
    assert strict.gate(*GRID, "--prunecal-update").ret == 1
    assert "recovery: {ece: {abs: 0.0001}, accuracy: 0.99}" in strict.baseline.read_text()
    strict.edit("    recovery: {ece: {abs: 0.0001}, accuracy: 0.99}\n", "    recovery: {}\n")
    assert strict.gate(*GRID).ret == 0


def test_a_cell_of_the_slimmed_base_is_held_beside_the_plain_one(strict):
    strict.gate("--prunecal-pruners=channel", "--prunecal-ratios=0,0.3", "--prunecal-json=r.json")
    report = json.loads((strict.path / "r.json").read_text())
    dense, channel = report["models"][0]["cells"]
    found = channel["recovery"][0]
    assert found["dense"] == pytest.approx(dense["metrics"]["accuracy"]["measured"], abs=1e-4)
    assert found["sd"] > 0


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ("{acuracy: 0.99}", "recovery of acuracy: there is no such metric; rules are about accuracy, ece"),
        ("{accuracy: 1.01}", "asks for more than the dense network has"),
        ("{ece: 0.9}", "asks for less than the dense network has"),
        ("{parameters: 1}", "it tells of the network, not of its answers"),
        ("{ece: {}}", "is empty; give a share such as 0.99"),
        ("{ece: {abs: -1}}", "must lie in [0, inf]"),
        ("[accuracy]", "must be a mapping"),
    ],
)
def test_a_rule_that_can_mean_nothing_is_one_sentence(project, rules, says):
    path = project.path / "tiny.yaml"
    path.write_text(path.read_text() + f"recovery: {rules}\n")
    outcome = project.gate()
    assert outcome.ret == 4
    assert "tiny.yaml:" in outcome.err
    assert says in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_so_is_one_in_a_baseline(gated):
    gated.edit("cells:\n", "recovery: {nothing: 0.9}\ncells:\n")
    outcome = gated.gate()
    assert outcome.ret == 4
    assert f"{BASELINE}:" in outcome.err
    assert "there is no such metric" in outcome.err


def test_every_report_tells(strict):
    xml = strict.path / "j.xml"
    outcome = strict.gate(*GRID, "--prunecal-report=r.html", f"--junit-xml={xml}", "--prunecal-power")
    assert "smallest distance from the dense network that a rule of recovery catches" in outcome.out
    page = (strict.path / "r.html").read_text()
    assert "against the dense network of the same run" in page
    assert "If the changes are meant" not in page  # accepting would not silence the rule
    assert 'name="prunecal_recovery_accuracy" value="1.0"' in xml.read_text()


@pytest.mark.parametrize("narrowing", [("-k", "broken"), ("--prunecal-pruners=broken", "-n2")])
def test_a_narrowed_run_of_several_models_keeps_the_rules(strict, narrowing):
    text = CONFTEST.replace('"tinynet": "tiny:tiny"', '"tinynet": "tiny:tiny", "twin": "tiny:tiny"')
    strict.write({"conftest.py": text})
    outcome = strict.gate("--prunecal-models=tinynet,twin", *GRID, *narrowing, "--prunecal-json=r.json")
    report = json.loads((strict.path / "r.json").read_text())
    found = {
        (model["model"], cell["id"]): cell["recovery"]
        for model in report["models"]
        for cell in model["cells"]
    }
    assert outcome.ret == 1
    assert {model for model, _ in found} == {"tinynet", "twin"}
    for (_, cell), rows in found.items():
        assert [row["metric"] for row in rows] == ([] if cell == "dense" else ["accuracy", "ece"])
        assert not rows or rows[0]["dense"] is not None


def test_a_rule_about_the_dense_cell_is_refused(gated):
    gated.edit("  dense:\n", "  dense:\n    recovery: {accuracy: 0.9}\n")
    outcome = gated.gate()
    assert outcome.ret == 4
    (said,) = outcome.err.strip().splitlines()
    assert f"{BASELINE}:" in said
    assert "the dense cell is what others are held against" in said
