"""How many seeds a cell is measured over: one where nothing changed, more where it is in doubt."""

from __future__ import annotations

import json
import os

import pytest
import yaml

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.engines.reusing import ReusingEngine

FEW = ("--prunecal-ratios=0,0.5", "--prunecal-pruners=weight")
DYING = """\
import os
from pytest_prunecal.lab.engines.reusing import ReusingEngine

def pytest_prunecal_models(config):
    return {"tinynet": "tiny:tiny"}

if "PYTEST_XDIST_WORKER" in os.environ:
    measure = ReusingEngine.measure

    def dying(self, cell, seeds=1, **how):
        if seeds > 2:
            os._exit(3)
        return measure(self, cell, seeds, **how)

    ReusingEngine.measure = dying
"""


@pytest.fixture
def in_a_worker_or_not(monkeypatch):
    """What this test suite's own xdist says must not be taken for the inner one's."""
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)


@pytest.fixture
def break_off(monkeypatch):
    """Have a look over more than two seeds raise something."""

    def breaking(error):
        measure = ReusingEngine.measure

        def measured(self, cell, seeds=1, **how):
            if seeds > 2:
                raise error
            return measure(self, cell, seeds, **how)

        monkeypatch.setattr(ReusingEngine, "measure", measured)

    return breaking


def cells(project):
    return yaml.safe_load(project.baseline.read_text())["cells"]


def seeds_of(project):
    return {cell: metrics["nll"]["seeds"] for cell, metrics in cells(project).items()}


def allowed(project):
    """By cell and metric, how far it may go, as a run reported it."""
    (model,) = json.loads((project.path / "run.json").read_text())["models"]
    return {
        cell["id"]: {name: row["allowed"] for name, row in cell["metrics"].items()} for cell in model["cells"]
    }


def test_where_nothing_changed_one_seed_is_enough(sure):
    outcome = sure.gate()
    assert outcome.ret == 0
    assert outcome.seeds == dict.fromkeys(sure.CELLS, 1)
    assert "7 cells: 7 identical" in outcome.out


def test_a_cell_that_got_worse_is_looked_at_until_five_seeds_agree(sure):
    sure.tune(worse=True)
    outcome = sure.gate(*FEW, "--prunecal-json=run.json")
    assert (outcome.ret, outcome.cells) == (1, {"dense": "passed", "weight-0.5": "failed"})
    assert outcome.seeds == {"dense": 1, "weight-0.5": 5}
    (model,) = json.loads((sure.path / "run.json").read_text())["models"]
    assert {cell["id"]: cell["provenance"]["seeds"] for cell in model["cells"]} == outcome.seeds


@pytest.mark.usefixtures("in_a_worker_or_not")
def test_looks_are_the_same_under_xdist(sure):
    sure.tune(worse=True)
    alone = sure.gate("--prunecal-pruners=weight")
    assert {5, 1} <= {*alone.seeds.values()}
    parallel = sure.gate("--prunecal-pruners=weight", "--prunecal-fresh", "-n", "2")
    assert (parallel.ret, parallel.cells, parallel.seeds) == (1, alone.cells, alone.seeds)
    assert parallel.numbers == alone.numbers
    assert parallel.message("weight-0.5").endswith(alone.message("weight-0.5"))


@pytest.mark.parametrize("place", ["command line", "ini file", "protocol"])
def test_one_look_decides_where_there_may_be_no_other(sure, place):
    sure.tune(worse=True)
    if place == "ini file":
        sure.edit("pythonpath", "prunecal_repeat = 1\npythonpath", "pytest.ini")
    if place == "protocol":
        sure.edit("ratios:", "repeat: 1\nratios:", "tiny.yaml")
    outcome = sure.gate(*FEW, *(["--prunecal-repeat=1"] if place == "command line" else []))
    assert outcome.seeds == {"dense": 1, "weight-0.5": 1}
    assert outcome.cells == {"dense": "passed", "weight-0.5": "failed"}


def test_the_command_line_goes_before_the_protocol(sure):
    sure.edit("ratios:", "repeat: 1\nratios:", "tiny.yaml")
    sure.tune(worse=True)
    outcome = sure.gate(*FEW, "--prunecal-repeat=3")
    assert outcome.seeds == {"dense": 1, "weight-0.5": 3}
    assert outcome.cells == {"dense": "passed", "weight-0.5": "failed"}
    command = outcome.message("weight-0.5").splitlines()[-1].strip()
    assert command == (
        "pytest --prunecal-models=tinynet --prunecal-repeat=3 --prunecal-pruners=weight "
        "--prunecal-ratios=0.5 --prunecal-update"
    )


def test_a_run_may_begin_with_more_seeds(sure):
    sure.tune(worse=True)
    assert sure.gate(*FEW, "--prunecal-seeds=2").seeds == {"dense": 2, "weight-0.5": 5}


def test_what_changed_and_did_no_harm_needs_one_seed(sure):
    sure.tune(worse=False)
    outcome = sure.gate(*FEW)
    assert (outcome.ret, outcome.seeds) == (0, {"dense": 1, "weight-0.5": 1})
    assert "2 cells: 1 identical, 1 ok" in outcome.out
    assert "fine-tuning differs from step 1 on" in outcome.line("weight-0.5 ")


def test_the_same_cell_is_allowed_the_same_whatever_else_is_selected(sure):
    sure.tune(worse=False)
    asked = "--prunecal-json=run.json"
    assert sure.gate(asked).ret == 0
    whole = allowed(sure)
    for selection in (FEW, ("-k", "weight-0.5"), (f"{sure.FILE}::prune[weight-0.5]",)):
        assert sure.run("--prunecal-models=tinynet", *selection, asked).ret == 0
        assert allowed(sure)["weight-0.5"] == whole["weight-0.5"], selection


def bases(project):
    return {path.name for path in (project.path / ".prunecal" / "base").glob("*.safetensors")}


def over_bases(outcome):
    return {cell: found["provenance"]["bases"] for cell, found in outcome.watcher.measured.items()}


def test_further_looks_at_a_cell_of_one_accepted_seed_keep_its_base_network(auto):
    auto.tune(worse=True)
    before = bases(auto)
    outcome = auto.gate("--prunecal-ratios=0,0.5", "--prunecal-pruners=weight,channel")
    assert outcome.cells == {"dense": "passed", "weight-0.5": "failed", "channel-0.5": "failed"}
    assert outcome.seeds == {"dense": 1, "weight-0.5": 5, "channel-0.5": 5}
    assert {*over_bases(outcome).values()} == {1}
    assert len(bases(auto) - before) == 2  # a plain one and one for the channel pruner


def test_what_is_accepted_has_base_networks_of_its_own(auto):
    auto.tune(worse=True)
    looked = auto.gate(*FEW)
    assert (looked.seeds["weight-0.5"], over_bases(looked)["weight-0.5"]) == (5, 1)
    outcome = auto.gate("--prunecal-update", "--prunecal-seeds=5", *FEW)
    assert over_bases(outcome) == {"dense": 5, "weight-0.5": 5}
    assert seeds_of(auto)["weight-0.5"] == 5


def test_a_bare_update_measures_as_many_seeds_as_the_file_has(sure):
    text = sure.baseline.read_text()
    outcome = sure.gate("--prunecal-update", "--prunecal-ratios=0,0.5")
    assert outcome.ret == 0
    assert {*outcome.seeds.values()} == {3}
    assert sure.baseline.read_text() == text


def test_a_bare_update_looks_no_further(sure):
    sure.tune(worse=True)
    outcome = sure.gate("--prunecal-update", *FEW)
    assert (outcome.ret, outcome.seeds) == (0, {"dense": 3, "weight-0.5": 3})
    assert {*seeds_of(sure).values()} == {3}
    again = sure.gate(*FEW)
    assert (again.ret, again.seeds) == (0, {"dense": 1, "weight-0.5": 1})
    assert "2 cells: 2 identical" in again.out


def test_an_update_may_say_how_many(sure):
    assert sure.gate("--prunecal-update", "--prunecal-seeds=2", *FEW).ret == 0
    assert seeds_of(sure) | {"dense": 2, "weight-0.5": 2} == seeds_of(sure)


def test_what_most_cells_have_counts(sure):
    assert sure.gate("--prunecal-update", "--prunecal-seeds=2", *FEW).ret == 0
    outcome = sure.gate("--prunecal-update", *FEW)  # five cells of three seeds, two of two
    assert outcome.seeds == {"dense": 3, "weight-0.5": 3}


@pytest.mark.parametrize(("options", "seeds"), [((), 5), (("--prunecal-repeat=1",), 3)])
def test_an_update_of_what_fails_accepts_what_it_looked_at_and_no_less_than_the_file_has(
    sure, options, seeds
):
    before = cells(sure)
    sure.tune(worse=True)
    outcome = sure.gate("--prunecal-update=failing", *FEW, *options)
    assert (outcome.ret, outcome.seeds) == (0, {"dense": 1, "weight-0.5": seeds})
    assert seeds_of(sure)["weight-0.5"] == seeds
    assert {name: cell for name, cell in cells(sure).items() if name != "weight-0.5"} == {
        name: cell for name, cell in before.items() if name != "weight-0.5"
    }
    assert "2 cells: 2 identical" in sure.gate(*FEW).out


def test_an_update_of_what_is_missing_gives_it_as_many_seeds(sure):
    text = sure.baseline.read_text()
    head, rest = text.split("  weight-0.5:\n")
    sure.baseline.write_text(head + rest[rest.index("  filter-0.3:") :])
    outcome = sure.gate("--prunecal-update=missing", *FEW)
    assert (outcome.ret, outcome.seeds) == (0, {"dense": 1, "weight-0.5": 3})
    assert yaml.safe_load(sure.baseline.read_text())["cells"] == yaml.safe_load(text)["cells"]


def test_the_first_update_of_a_project_measures_one_seed(project):
    outcome = project.gate("--prunecal-update", *FEW)
    assert (outcome.ret, outcome.seeds) == (0, {"dense": 1, "weight-0.5": 1})
    assert "seeds" not in project.baseline.read_text()


@pytest.mark.usefixtures("in_a_worker_or_not")
def test_a_worker_that_dies_between_looks_loses_its_cell_and_no_other(sure):
    sure.tune(worse=True)
    sure.write({"conftest.py": DYING})
    outcome = sure.gate(*FEW, "-n", "2")
    assert outcome.ret == 1
    assert outcome.cells == {"dense": "passed", "weight-0.5": "failed"}
    assert "crashed while running" in outcome.message("weight-0.5")
    assert outcome.seeds == {"dense": 1}


def test_control_c_between_looks_ends_the_run_and_accepts_nothing(sure, break_off):
    sure.tune(worse=True)
    text = sure.baseline.read_text()
    break_off(KeyboardInterrupt())
    outcome = sure.gate("--prunecal-update=failing", *FEW)
    assert outcome.ret == pytest.ExitCode.INTERRUPTED
    assert outcome.seeds == {"dense": 1}
    assert sure.baseline.read_text() == text


@pytest.mark.parametrize("error", [PrunecalError("the disk is full"), RuntimeError("the disk is full")])
def test_an_error_between_looks_fails_the_cell_and_accepts_nothing(sure, break_off, error):
    sure.tune(worse=True)
    text = sure.baseline.read_text()
    break_off(error)
    outcome = sure.gate("--prunecal-update=failing", *FEW)
    assert (outcome.ret, outcome.cells) == (1, {"dense": "passed", "weight-0.5": "failed"})
    assert "the disk is full" in outcome.message("weight-0.5")
    assert "2 cells: 1 identical, 1 error" in outcome.out
    assert sure.baseline.read_text() == text


def test_an_error_in_a_cells_jitter_fails_it_and_accepts_nothing(sure, monkeypatch):
    def failing(*_):
        raise PrunecalError("no room for it")

    monkeypatch.setattr(ReusingEngine, "jitter", failing)
    text = sure.baseline.read_text()
    sure.tune(worse=True)
    outcome = sure.gate("--prunecal-update", *FEW)
    assert (outcome.ret, outcome.cells) == (1, {"dense": "failed", "weight-0.5": "failed"})
    assert "no room for it" in outcome.message("dense")
    assert sure.baseline.read_text() == text
    assert sure.gate("--prunecal-ratios=0").ret == 0  # which needs none
