"""Nothing twice: what was measured is not measured again; what a number depends on is."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from itertools import cycle
from pathlib import Path

import pytest

from pytest_prunecal.store import checksum

SPLIT = {
    "tiny.py": "from nets.tiny import tiny\n",
    "nets/__init__.py": "",
    "nets/sizes.py": "FIRST = 8\n",
    "nets/blocks.py": "from nets import sizes\n\ndef first():\n    return sizes.FIRST\n",
}
"""The tiny network in a package of its own, with a helper two imports away."""
READING = """\
import json
import os
from pathlib import Path

from nets.blocks import first

WIDE = json.loads((Path(__file__).parent / "wide.json").read_text())
LOG = Path(__file__).parents[1] / "evaluated"
"""
COUNTING = """\
        if not self.training and images.shape[0] > 1:
            with LOG.open("a") as log:
                log.write("x")
        maps = torch.relu(self.bn1"""
CELL = ("--prunecal-pruners=weight", "--prunecal-ratios=0.5")
"""One cell stands for all where they are treated alike: whatever is measured takes its time."""
REUSED = "reused: nothing that these numbers depend on has changed; --prunecal-fresh measures again"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Where the first test leaves its measured project for the others."""
    return tmp_path_factory.mktemp("measured") / "project"


@pytest.fixture
def measured(project, template):
    """A project whose every cell was measured, by a network with helpers that counts its evaluations."""
    if not template.exists():
        text = (project.path / "tiny.py").read_text().replace("8", "first()").replace("12", "WIDE[0]")
        text = text.replace("import os\n", READING, 1)
        text = text.replace("        maps = torch.relu(self.bn1", COUNTING, 1)
        project.write(SPLIT | {"nets/tiny.py": text, "nets/wide.json": "[12]"})
        project.write({"conftest.py": (project.path / "conftest.py").read_text() + DECLARED})
        outcome = project.gate("--prunecal-update")
        assert outcome.ret == 0, outcome.text
        assert "reused" not in outcome.out
        assert evaluations(project) > 0
        assert "7 reused" in project.gate().out  # which compares with what was accepted, once too
        project.keep(template)
    project.restore(template)
    return project


DECLARED = """

def pytest_prunecal_files(config):
    return ["nets/wide.json"]
"""


def forge(entry, content):
    """Put content into a store's entry, with a checksum that is right."""
    entry.write_bytes(content)
    root, place = entry.parents[1], f"{entry.parent.name}/{entry.name}"
    checksum.seal(root, place, checksum.line(entry, place))


def evaluations(project):
    """Forward passes of evaluations since this was last asked."""
    log = project.path / "evaluated"
    count = len(log.read_text()) if log.exists() else 0
    log.unlink(missing_ok=True)
    return count


def test_what_was_measured_is_not_measured_again(measured):
    numbers = measured.gate("--prunecal-json=run.json").numbers
    assert evaluations(measured) == 0
    outcome = measured.gate("--prunecal-json=again.json", "--prunecal-report=run.html")
    assert (outcome.ret, outcome.numbers) == (0, numbers)
    assert "7 cells: 7 identical; 7 reused" in outcome.out
    assert REUSED in outcome.out
    assert evaluations(measured) == 0
    first, again = (json.loads((measured.path / name).read_text()) for name in ("run.json", "again.json"))
    assert first == again
    assert (again["totals"]["reused"], again["models"][0]["cells"][0]["reused"]) == (7, True)
    assert "7 reused" in (measured.path / "run.html").read_text()


def test_without_torch(measured):
    command = [sys.executable, "-X", "importtime", "-m", "pytest", "--prunecal-models=tinynet"]
    result = measured.pytester.run(*command, "-s")
    assert result.ret == 0
    assert "7 cells: 7 identical; 7 reused" in result.stdout.str()
    lines = [line for line in result.stderr.lines if line.startswith("import time:")]
    modules = {line.rpartition("|")[2].strip() for line in lines}
    assert "pytest_prunecal.lab.engines.reusing" in modules
    assert not {"torch", "numpy", "tiny"} & modules


def test_the_summary_names_once_what_is_too_much_to_read(measured, monkeypatch):
    monkeypatch.setattr("pytest_prunecal.store.imports.MOST_FILES", 1)
    outcome = measured.gate("--prunecal-pruners=weight")
    assert outcome.ret == 0
    assert len(outcome.cells) == 3
    (line,) = (line for line in outcome.out.splitlines() if "is too much code to look for imports in" in line)
    assert line.startswith(f"dense: {measured.path / 'nets'} is too much code")


def test_workers_reuse_what_one_process_measured(measured):
    outcome = measured.gate("-n", "2")
    assert outcome.ret == 0
    assert "7 cells: 7 identical; 7 reused" in outcome.out
    assert evaluations(measured) == 0


def test_fresh_measures_again_and_finds_the_same(measured):
    numbers = measured.gate(*CELL).numbers
    outcome = measured.gate(*CELL, "--prunecal-fresh")
    assert (outcome.ret, outcome.numbers) == (0, numbers)
    assert "reused" not in outcome.out
    assert evaluations(measured) > 0
    assert "1 reused" in measured.gate(*CELL).out


def test_fresh_replaces_what_was_stored(measured):
    entries = list((measured.path / ".prunecal/measurement").iterdir())
    for entry in entries:
        record = json.loads(entry.read_text())
        record["measurement"]["metrics"]["accuracy"] = 0.125
        record["measurement"]["by_image"]["metrics"]["accuracy"] = 0.125
        for side in (record["measurement"], record["measurement"]["by_image"]):
            side["each"]["accuracy"] = [0.125]
        forge(entry, json.dumps(record).encode())
    assert "weight-0.5    0.1250" in measured.gate(*CELL, "--prunecal-repeat=1").out
    assert measured.gate(*CELL, "--prunecal-fresh").ret == 0
    assert "1 identical; 1 reused" in measured.gate(*CELL).out


EDITS = {
    "the model": ("nets/tiny.py", "tracked = None\n"),
    "a helper two imports away": ("nets/sizes.py", "# wider one day\n"),
    "a package on the way": ("nets/__init__.py", "# empty\n"),
    "a declared data file": ("nets/wide.json", " "),
    "the conftest": ("conftest.py", "# checked\n"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_what_the_model_reaches_measures_again(measured, edit):
    name, text = EDITS[edit]
    with (measured.path / name).open("a") as file:
        file.write(text)
    outcome = measured.gate(*CELL)
    assert outcome.ret == 0, outcome.text
    assert "reused" not in outcome.out
    assert evaluations(measured) > 0
    assert "1 reused" in measured.gate(*CELL).out


@pytest.mark.parametrize("edit", ["a helper two imports away", "a declared data file"])
def test_an_edit_that_matters_is_seen(measured, edit):
    name, text = {"a helper": ("nets/sizes.py", "FIRST = 4\n"), "a declared": ("nets/wide.json", "[6]")}[
        " ".join(edit.split()[:2])
    ]
    measured.write({name: text})
    outcome = measured.gate(*CELL)
    assert outcome.ret == 1
    assert "parameters" in outcome.message("weight-0.5")


def test_an_edit_of_what_takes_no_part_measures_nothing(measured):
    measured.write({"notes.py": "import tiny\n", "nets/other.py": "", "nets/notes.json": "[]"})
    assert "7 reused" in measured.gate().out
    assert evaluations(measured) == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [("epochs: 1, learning_rate: 0.05", "epochs: 1, learning_rate: 0.06"), ("test: 60", "test: 50")],
)
def test_another_protocol_measures_again(measured, old, new):
    measured.edit(old, new, file="tiny.yaml")
    outcome = measured.gate("--prunecal-update")
    assert outcome.ret == 0
    assert "reused" not in outcome.out


def test_another_tolerance_does_not(measured):
    measured.edit("accuracy: {abs: 0.05}", "accuracy: {abs: 0.06}", file="tiny.yaml")
    assert "7 reused" in measured.gate().out


def test_a_pruner_and_a_metric_of_ones_own(measured):
    measured.write(
        {
            "mine.py": "from pytest_prunecal import Pruner\n"
            "import ranks\nhalving = Pruner('pytest_prunecal.lab.pruners.weight:prune')\n"
            "def first(logits, labels):\n    return ranks.share\n",
            "ranks.py": "share = 0.5\n",
        }
    )
    conftest = measured.path / "conftest.py"
    conftest.write_text(
        conftest.read_text()
        + "\nfrom pytest_prunecal.study.metric import Metric\n"
        + "def pytest_prunecal_pruners(config):\n    return {'halving': 'mine:halving'}\n"
        + "def pytest_prunecal_metrics(config):\n"
        + "    return {'first': Metric('first', function='mine:first', higher_is_better=True)}\n"
    )
    grid = ("--prunecal-pruners=halving", "--prunecal-ratios=0.3")
    assert measured.gate(*grid, "--prunecal-update").ret == 0
    again = measured.gate(*grid)
    assert again.ret == 0, again.text
    assert "1 cell: 1 identical; 1 reused" in again.out
    measured.write({"ranks.py": "share = 0.25\n"})
    assert "first 0.5000 -> 0.2500" in measured.gate(*grid).message("halving-0.3")


def test_an_edit_while_the_session_runs_is_not_stored_as_what_was_there_before(measured, monkeypatch):
    """The session has imported the old code: its numbers are those of neither file for certain."""
    two = ("--prunecal-pruners=weight", "--prunecal-ratios=0.3,0.5")
    edited = measured.path / "nets" / "sizes.py"
    conftest = measured.path / "conftest.py"
    conftest.write_text(
        conftest.read_text()
        + "\nimport os\ndef pytest_runtest_setup(item):\n"
        + f"    if 'EDIT' in os.environ:\n        open({str(edited)!r}, 'a').write('# more\\n')\n"
    )
    with monkeypatch.context() as editing:
        editing.setenv("EDIT", "1")
        outcome = measured.gate(*two)
    assert outcome.ret == 0
    assert "reused" not in outcome.out
    later = measured.gate(*two)
    assert "reused" not in later.out
    assert "2 reused" in measured.gate(*two).out


def test_damaged_entries_are_measured_again(measured):
    damage = [b"", b"{}", b"\xff\xfe", b"[1, 2]", b'{"measurement": {}, "bases": {}}', b"null"]
    for entry, content in zip((measured.path / ".prunecal/measurement").iterdir(), damage, strict=False):
        entry.write_bytes(content)
    outcome = measured.gate()
    assert outcome.ret == 0, outcome.text
    assert "7 cells: 7 identical; 1 reused" in outcome.out
    assert "7 reused" in measured.gate().out


@pytest.mark.parametrize("kind", ["base", "corrupted", "evaluation"])
def test_what_cells_are_measured_from_is_made_anew_if_damaged(measured, kind):
    shutil.rmtree(measured.path / ".prunecal/measurement")
    for entry, size in zip(sorted((measured.path / ".prunecal" / kind).iterdir()), cycle([0, 50])):
        os.truncate(entry, size)
    outcome = measured.gate(*CELL)
    assert outcome.ret == 0, outcome.text
    assert "1 identical" in outcome.out
    assert "1 reused" in measured.gate(*CELL).out


def test_a_lost_base_network_is_trained_again_and_counts_if_it_is_the_same(measured):
    for entry in (measured.path / ".prunecal/base").iterdir():
        entry.unlink()
    outcome = measured.gate()
    assert outcome.ret == 0
    # One cell of each base network could not know what training would give.
    assert "7 identical; 5 reused" in outcome.out


def test_other_weights_under_the_same_name_are_noticed(measured):
    for entry in (measured.path / ".prunecal/base").iterdir():
        content = bytearray(entry.read_bytes())
        content[-1] ^= 1
        entry.write_bytes(content)
    assert "reused" not in measured.gate(*CELL).out


def test_a_cell_that_fails_is_accepted_without_measuring_it_again(measured):
    measured.edit("dense:\n    accuracy: {mean: ", "dense:\n    accuracy: {mean: 9")
    assert measured.gate().ret == 1
    evaluations(measured)
    outcome = measured.gate("--prunecal-update=failing")
    assert outcome.ret == 0
    assert "1 accepted; 7 reused" in outcome.out
    assert evaluations(measured) == 0


def test_a_fixture_and_the_gate_measure_a_cell_once(measured):
    asking = "assert prunecal.measure('tinynet', 'weight', 0.5).reused"
    measured.write({"test_own.py": f"def test_own(prunecal):\n    {asking}\n"})
    outcome = measured.run("test_own.py")
    assert outcome.ret == 0, outcome.text
    assert evaluations(measured) == 0


def test_a_store_that_keeps_nothing_loses_no_measurement(gated):
    outcome = gated.gate("--prunecal-ratios=0", "--prunecal-store=other")
    shutil.rmtree(gated.path / "other/measurement")
    (gated.path / "other/measurement").write_text("in the way")
    outcome = gated.gate("--prunecal-ratios=0", "--prunecal-store=other")
    assert outcome.ret == 0, outcome.text
    told = f"dense: not kept for another run: store {gated.path}/other: cannot be written (File exists); "
    assert told in outcome.out


def test_a_full_disk_loses_no_measurement(gated, monkeypatch):
    from pytest_prunecal.study import whole_file as atomic

    fsync = os.fsync

    def full(file):
        if not re.search("/.prunecal/(checksums/)?base", str(Path(f"/proc/self/fd/{file}").readlink())):
            raise OSError(28, "No space left on device")
        fsync(file)

    monkeypatch.setattr(atomic.os, "fsync", full)
    outcome = gated.gate("--prunecal-pruners=weight", "--prunecal-ratios=0,0.3")
    assert outcome.ret == 0, outcome.text
    assert "2 cells: 2 identical" in outcome.out
    told = (
        f"store {gated.path}/.prunecal: cannot be written (No space left on device); numbers measured so far "
    )
    advice = "are safe; make room there, or give another with --prunecal-store"
    assert f"dense: not kept for another run: {told}{advice}" in outcome.out


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("['nowhere.json']", "pytest_prunecal_files names nowhere.json, and there is no "),
        ("'tiny.py'", "pytest_prunecal_files returned 'tiny.py'; return a list of paths"),
        ("[3]", "pytest_prunecal_files names 3; name paths"),
        ("3", "pytest_prunecal_files returned 3; return a list of paths"),
    ],
)
def test_bad_declarations_are_refused(gated, answer, says):
    conftest = gated.path / "conftest.py"
    conftest.write_text(conftest.read_text() + f"\ndef pytest_prunecal_files(config):\n    return {answer}\n")
    outcome = gated.gate()
    assert outcome.ret == 4
    assert says in outcome.err


def test_declared_files_are_found_by_workers_too(measured):
    measured.write({"nets/wide.json": "[12] "})
    outcome = measured.gate(*CELL, "-n", "2")
    assert outcome.ret == 0
    assert "reused" not in outcome.out
    assert "1 reused" in measured.gate(*CELL, "-n", "2").out
