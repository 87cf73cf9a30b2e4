"""Under xdist: the same bytes as without, workers that die, base networks trained once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

RECORDING = """\
import json, os, sys
from pathlib import Path

def pytest_prunecal_models(config):
    return {"tinynet": "tiny:tiny"}

def pytest_unconfigure(config):
    who = os.environ.get("PYTEST_XDIST_WORKER", "controller")
    Path(f"modules-{who}.json").write_text(json.dumps(sorted(sys.modules)))
"""
DYING = """\
import os
from tiny import Tiny

class Dying(Tiny):
    def forward(self, images):
        if self.training and self.conv1.out_channels == 4:  # filter-0.5
            os._exit(3)
        return super().forward(images)

def dying(num_classes):
    return Dying(num_classes)
"""
SLOW = """
from pathlib import Path
from signal import pause

class Slow(Tiny):
    def first_step(self):
        try:
            with open("pid.tmp", "x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            return  # only the first to train is slow
        os.rename("pid.tmp", "pid")
        Path("pid.tmp").touch()
        pause()  # until it is killed

def tiny(num_classes):
    return Slow(num_classes)
"""


@pytest.fixture
def in_a_worker_or_not(monkeypatch):
    """What this test suite's own xdist says must not be taken for the inner one's."""
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)


def assert_whole(store):
    """Every entry of a store loads, and nothing half-written lies beside them."""
    entries = [path for kind in ("base", "corrupted") for path in (store / kind).iterdir()]
    assert entries
    for path in entries:
        assert path.suffix in (".safetensors", ".npy")
        assert load_file(path) if path.suffix == ".safetensors" else len(np.load(path)) == 60


@pytest.mark.usefixtures("in_a_worker_or_not")
def test_two_workers_write_what_one_process_writes(gated, monkeypatch):
    expected, numbers = files_of(gated), gated.gate().numbers
    gated.pytester.run(sys.executable, "-c", "import shutil; shutil.rmtree('.prunecal')")
    for path in expected:
        path.unlink()
    gated.baseline.parent.rmdir()
    gated.write({"conftest.py": RECORDING})
    monkeypatch.setenv("TINY_LOG", str(gated.path / "trained"))

    outcome = gated.subprocess(
        "--prunecal-models=tinynet", "--prunecal-update", "-n", "2", "--prunecal-json=out/run.json",
        "--prunecal-report=out/run.html", "--junitxml=out/junit.xml",
    )  # fmt: skip
    assert outcome.ret == 0, outcome.text
    assert "7 cells: 7 accepted" in outcome.out
    assert files_of(gated) == expected

    # The same numbers to the last bit, in full precision through the workers' channel.
    (model,) = json.loads((gated.path / "out/run.json").read_text())["models"]
    found = {
        f"prune[{cell['id']}]": {name: row["measured"] for name, row in cell["metrics"].items()}
        for cell in model["cells"]
    }
    assert found == numbers

    # One base training for weight and filter pruning and one for channel pruning, whoever needed them.
    assert (gated.path / "trained").read_text().splitlines() == ["base", "base"]
    assert len(list((gated.path / ".prunecal/base").iterdir())) == 2
    assert_whole(gated.path / ".prunecal")

    # The controller measures nothing and needs no torch.
    modules = {who: modules_of(gated, who) for who in ("controller", "gw0", "gw1")}
    assert "pytest_prunecal.gate.controller" in modules["controller"]
    assert not {"torch", "pytest_prunecal.lab.measure"} & modules["controller"]
    assert "torch" in modules["gw0"] | modules["gw1"]

    # A second session trains nothing and passes.
    again = gated.gate()
    assert (again.ret, again.numbers) == (0, numbers)
    assert (gated.path / "trained").read_text().splitlines() == ["base", "base"]


def files_of(project):
    """The baseline, and the results by image beside it."""
    files = {path: path.read_bytes() for path in project.baseline.parent.iterdir()}
    assert len(files) == 2
    return files


def modules_of(project, who):
    return set(json.loads((project.path / f"modules-{who}.json").read_text()))


@pytest.mark.usefixtures("in_a_worker_or_not")
def test_a_worker_that_dies_loses_its_cell_and_no_other(project):
    project.write({"dying.py": DYING})
    outcome = project.run(
        "--prunecal-models=dying:dying", "--prunecal-pruners=weight,filter", "--prunecal-update", "-n", "2"
    )
    assert outcome.ret == 1
    file = "baselines/tiny/dying.dying.yaml"
    accepted = yaml.safe_load((project.path / file).read_text())["cells"]
    assert list(accepted) == ["dense", "weight-0.3", "weight-0.5", "filter-0.3"]
    assert f"{file}: accepted 4 cells;" in outcome.out
    assert outcome.cells["filter-0.5"] == "failed"
    assert f"crashed while running '{file}::prune[filter-0.5]'" in outcome.message("filter-0.5")
    assert "error: worker 'gw" in outcome.line("filter-0.5 ")
    assert "5 cells: 4 accepted, 1 error" in outcome.out


@pytest.mark.usefixtures("in_a_worker_or_not")
def test_a_worker_killed_while_it_trains(gated, wait_until, patience):
    with (gated.path / "tiny.py").open("a") as file:
        file.write(SLOW)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--prunecal-models=tinynet",
        "--prunecal-pruners=weight",
        "-n",
        "2",
    ]
    with (gated.path / "out.txt").open("w") as out:
        run = subprocess.Popen(command, cwd=gated.path, stdout=out, stderr=subprocess.STDOUT)
        try:
            wait_until((gated.path / "pid").exists, run)
            os.kill(int((gated.path / "pid").read_text()), signal.SIGKILL)
            assert run.wait(timeout=patience) == 1
        finally:
            with contextlib.suppress(ProcessLookupError):
                run.kill()
    text = (gated.path / "out.txt").read_text()
    assert "INTERNALERROR" not in text
    (lost,) = {
        line.split("::prune[")[1].split("]")[0]
        for line in text.splitlines()
        if "crashed while running" in line
    }
    assert any(line.startswith(f"{lost} ") and "error: worker 'gw" in line for line in text.splitlines())
    assert "3 cells: 2 identical, 1 error" in text
    assert_whole(gated.path / ".prunecal")

    again = gated.gate()
    assert (again.ret, set(again.cells.values())) == (0, {"passed"})
    assert len(again.cells) == 7
    assert "7 cells: 7 identical" in again.out


@pytest.mark.usefixtures("in_a_worker_or_not")
def test_workers_begin_with_every_model(project):
    grid = ("--prunecal-models=tinynet,tiny:tiny", "--prunecal-ratios=0.3,0.5", "--prunecal-update")
    outcome = project.run(*grid, "-n", "1")
    assert outcome.ret == 0, outcome.text
    opening = ["weight-0.3", "weight-0.5", "channel-0.3", "filter-0.3"]
    ran = [nodeid.partition("tiny/")[2] for nodeid in outcome.watcher.outcomes]
    assert ran[:8] == [f"{file}.yaml::prune[{cell}]" for file in ("tinynet", "tiny.tiny") for cell in opening]
    assert sorted(ran[8:]) == sorted(
        f"{file}.yaml::prune[{cell}]"
        for file in ("tinynet", "tiny.tiny")
        for cell in ("filter-0.5", "channel-0.5")
    )


@pytest.mark.usefixtures("in_a_worker_or_not")
@pytest.mark.parametrize(
    ("args", "chunk"),
    [
        (["--prunecal-models=tinynet"], 1),
        (["baselines/tiny/tinynet.yaml"], 1),
        (["--prunecal-models=tinynet", "--maxschedchunk=5"], 5),
        (["--prunecal-models=tinynet", "."], None),
    ],
    ids=str,
)
def test_cells_are_handed_out_singly(gated, args, chunk):
    outcome = gated.run(*args, "-n", "1", "--collect-only")
    assert outcome.watcher.config.option.maxschedchunk == chunk
