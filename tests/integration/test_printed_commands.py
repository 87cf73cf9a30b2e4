"""Every command that is printed does what its text says, and nothing else."""

from __future__ import annotations

import html
import json
import re
import shlex

import pytest
import yaml

OWN = """\
from pytest_prunecal import Pruner

def pytest_prunecal_models(config):
    return {"tinynet": "tiny:tiny"}

def pytest_prunecal_pruners(config):
    return dict.fromkeys(["mine", "other"], Pruner("pytest_prunecal.lab.pruners.weight:prune"))
"""


@pytest.fixture
def several(gated):
    """A project with a pruner of its own, whose cells are accepted beside the protocol's grid."""
    gated.write({"conftest.py": OWN})
    outcome = gated.gate(
        "--prunecal-pruners=mine,other", "--prunecal-ratios=0.3,0.4,0.5", "--prunecal-update"
    )
    assert outcome.ret == 0
    return gated


def accuracies(project):
    cells = yaml.safe_load(project.baseline.read_text())["cells"]
    return {cell_id: cell["accuracy"]["mean"] for cell_id, cell in cells.items()}


def spoil(project, *cells, by=9):
    """Make the accepted accuracy of some cells one that no run gives: better, or with `by=-9` worse."""
    sign = "-" if by < 0 else ""
    for cell in cells:
        project.edit(f"{cell}:\n    accuracy: {{mean: ", f"{cell}:\n    accuracy: {{mean: {sign}9")


def printed(project, outcome):
    """Every command that a run printed, and where."""
    page = (project.path / "run.html").read_text()
    found = {
        "html": [
            html.unescape(text)
            for text in re.findall(r"<pre><code>(pytest .*?)</code></pre>", page, re.DOTALL)
        ],
        "summary": re.findall(r"^(pytest .*)$", (project.path / "summary.md").read_text(), re.MULTILINE),
        "json": [model["accept"] for model in json.loads((project.path / "run.json").read_text())["models"]],
        "terminal": re.findall(r"^(?:E )? *(pytest --prunecal.*)$", outcome.out, re.MULTILINE),
    }
    return {where: list(dict.fromkeys(commands)) for where, commands in found.items()}


RUNS = {
    "own pruner": (["--prunecal-pruners=mine"], ["mine-0.3"], {"mine-0.3", "mine-0.5", "dense"}),
    "two ratios": (
        ["--prunecal-pruners=mine,other", "--prunecal-ratios=0.4"],
        ["mine-0.4"],
        {"mine-0.4", "other-0.4"},
    ),
    "by name": (
        ["-k", "weight-0.3 or filter-0.5"],
        ["weight-0.3", "filter-0.5"],
        {"weight-0.3", "filter-0.5"},
    ),
    "whole grid": ([], ["weight-0.3"], None),
    "one cell": (["baselines/tiny/tinynet.yaml::prune[weight-0.3]"], ["weight-0.3"], {"weight-0.3"}),
}


@pytest.mark.parametrize("run", RUNS)
def test_what_a_failing_run_prints(several, monkeypatch, run):
    options, failing, measured = RUNS[run]
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(several.path / "summary.md"))
    spoil(several, *failing)
    before = several.baseline.read_text()
    outcome = several.run(
        *options,
        *([] if "::" in " ".join(options) else ["--prunecal-models=tinynet"]),
        "--prunecal-json=run.json",
        "--prunecal-report=run.html",
    )
    assert outcome.ret == 1
    assert set(outcome.cells) == (measured or set(several.CELLS))
    commands = printed(several, outcome)
    assert all(commands.values()), commands
    for where, texts in commands.items():
        for text in texts:
            several.baseline.write_text(before)
            words = shlex.split(text)
            assert words.pop(0) == "pytest"
            accepting = several.run(*words)
            assert accepting.ret == 0, (where, text, accepting.text)
            told = set(accepting.cells)
            # A cell's own command accepts that cell, the model's those that were measured.
            assert told == (measured or set(several.CELLS)) or (len(told) == 1 and told <= set(failing)), text
            after = accuracies(several)
            assert after.keys() == accuracies_of(before).keys(), (where, text)
            for cell, number in accuracies_of(before).items():
                if cell in told:
                    assert 0 <= after[cell] <= 1
                else:
                    assert after[cell] == number, (where, text)


def accuracies_of(text):
    return {cell_id: cell["accuracy"]["mean"] for cell_id, cell in yaml.safe_load(text)["cells"].items()}


def test_what_keeps_improvements_keeps_nothing_else(several):
    spoil(several, "weight-0.3", by=-9)
    spoil(several, "filter-0.5")
    outcome = several.gate()
    assert outcome.ret == 1
    lines = outcome.out.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.endswith("weight-0.3; keep it with"))
    accepting = several.run(*shlex.split(lines[at + 1])[1:])
    assert accepting.ret == 0
    after = accuracies(several)
    assert 0 <= after["weight-0.3"] <= 1
    assert after["filter-0.5"] > 9


def test_an_update_of_the_whole_grid_removes_only_what_nothing_can_make(several):
    several.gate("--prunecal-pruners=weight", "--prunecal-ratios=0.35", "--prunecal-update")
    several.edit('"other"]', '"another"]', "conftest.py")
    before = accuracies(several)
    outcome = several.gate("--prunecal-update")
    assert outcome.ret == 0
    # 0.4 and 0.35 are no ratios of the protocol or the ini file, `other` is no pruner any more.
    gone = ["mine-0.4", "other-0.3", "other-0.4", "other-0.5", "weight-0.35"]
    assert before.keys() - accuracies(several).keys() == set(gone)
    (named,) = (line for line in outcome.out.splitlines() if "an update of the whole grid removes" in line)
    assert all(cell in named for cell in gone)
    assert outcome.out.index(named) < outcome.out.index("collected 7 items")


@pytest.mark.parametrize(
    "option", ["--prunecal-pruners=weight,filter,channel", "--prunecal-ratios=0,0.3,0.5"]
)
def test_an_update_that_names_what_it_measures_removes_nothing(several, option):
    before = accuracies(several)
    assert several.gate("--prunecal-update", option).ret == 0
    assert accuracies(several).keys() == before.keys()


def test_ratios_of_the_ini_file_are_configured(several):
    several.edit("[pytest]\n", "[pytest]\nprunecal_ratios = 0,0.3,0.4,0.5\n", "pytest.ini")
    before = accuracies(several)
    assert several.gate("--prunecal-update").ret == 0
    assert before.keys() <= accuracies(several).keys()


def test_the_configuration_that_a_run_had_is_named(several):
    several.write({"gate.ini": "[pytest]\nprunecal_protocol = tiny.yaml\npythonpath = .\n"})
    spoil(several, "weight-0.3")
    outcome = several.gate("-c", "gate.ini", "-o", "console_output_style=count")
    assert outcome.ret == 1
    (command,) = set(re.findall(r"^ *(pytest .*)$", outcome.out, re.MULTILINE))
    assert command.startswith("pytest -c gate.ini -o console_output_style=count --prunecal-models=tinynet")
    assert several.run(*shlex.split(command)[1:]).ret == 0
