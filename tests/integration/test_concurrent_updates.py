"""Sessions that accept at the same time: none loses what another has accepted."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
import yaml

from pytest_prunecal.baseline import images
from pytest_prunecal.gate import accept


def accepted_by(project):
    """Ids of the cells that the baseline file has, and of those that the file beside it has."""
    content = yaml.safe_load(project.baseline.read_text())
    place = project.baseline.with_name(content["images"]["file"])
    assert hashlib.sha256(place.read_bytes()).hexdigest() == content["images"]["sha256"]
    assert set(project.baseline.parent.iterdir()) == {project.baseline, place}
    return set(content["cells"]), set(images.load(place.read_bytes(), place.name))


def test_sessions_that_accept_different_cells_all_keep_theirs(gated):
    assert gated.gate("--prunecal-update").ret == 0  # measured, so that all accept at about the same moment
    gated.baseline.unlink()
    command = [sys.executable, "-m", "pytest", "-q", "--prunecal-models=tinynet", "--prunecal-update", "-k"]
    sessions = [
        subprocess.Popen([*command, f"prune[{cell}]"], cwd=gated.path, stdout=subprocess.PIPE, text=True)
        for cell in gated.CELLS
    ]
    for session in sessions:
        out, _ = session.communicate()
        assert session.returncode == 0, out
    assert accepted_by(gated) == (set(gated.CELLS), set(gated.CELLS))
    outcome = gated.gate()
    assert "7 cells: 7 identical" in outcome.out


def meanwhile(monkeypatch, act):
    """Have something happen once, after a session has measured and before it reads the baseline again."""
    original = accept.locked

    def locked(path, name):
        if todo:
            todo.pop()()
        return original(path, name)

    todo = [act]
    monkeypatch.setattr(accept, "locked", locked)


def test_what_another_session_accepts_meanwhile_stays(gated, monkeypatch):
    gated.baseline.unlink()

    def other():
        assert gated.gate("--prunecal-ratios=0,0.3", "--prunecal-update").ret == 0

    meanwhile(monkeypatch, other)
    outcome = gated.gate("--prunecal-ratios=0.5", "--prunecal-update")
    assert outcome.ret == 0
    assert accepted_by(gated) == (set(gated.CELLS), set(gated.CELLS))
    assert "7 cells: 7 identical" in gated.gate().out


def test_what_people_write_meanwhile_stays(gated, monkeypatch):
    def note():
        gated.edit("  weight-0.5:\n", "  weight-0.5:\n    note: looked at\n")
        gated.edit("weight-0.5:\n", "weight-0.5: # by hand\n")

    meanwhile(monkeypatch, note)
    gated.edit("weight-0.3:\n    accuracy: {mean: ", "weight-0.3:\n    accuracy: {mean: 9")
    assert gated.gate("--prunecal-update").ret == 0
    text = gated.baseline.read_text()
    assert "weight-0.5: # by hand\n    note: looked at\n" in text
    assert "mean: 9" not in text


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("[", "tinynet.yaml:"),
        ("prunecal: 2\n", "tinynet.yaml:"),
    ],
)
def test_a_baseline_that_was_broken_meanwhile_is_left_as_it_is(gated, monkeypatch, broken, says):
    meanwhile(monkeypatch, lambda: gated.baseline.write_text(broken))
    outcome = gated.gate("--prunecal-update")
    assert outcome.ret == 1
    assert says in outcome.out
    assert gated.baseline.read_text() == broken


def test_a_file_that_changes_between_reading_and_writing_is_read_again(gated, monkeypatch):
    original = accept.refresh.apply

    def apply(*args):
        if todo:
            todo.pop()()
        return original(*args)

    todo = [lambda: gated.edit("cells:\n", "# just now\ncells:\n")]
    monkeypatch.setattr(accept.refresh, "apply", apply)
    gated.edit("weight-0.3:\n    accuracy: {mean: ", "weight-0.3:\n    accuracy: {mean: 9")
    assert gated.gate("--prunecal-update").ret == 0
    text = gated.baseline.read_text()
    assert "# just now\ncells:\n" in text
    assert "mean: 9" not in text


def test_a_baseline_that_never_rests_is_not_refreshed(gated, monkeypatch):
    original = accept.refresh.apply

    def apply(*args):
        gated.edit("cells:\n", "# again\ncells:\n")
        return original(*args)

    monkeypatch.setattr(accept.refresh, "apply", apply)
    outcome = gated.gate("--prunecal-update")
    assert outcome.ret == 1
    assert (
        f"{gated.FILE}: not refreshed: it is being changed all the time; run the command again" in outcome.out
    )


def test_a_file_system_without_locks_is_said(gated, monkeypatch):
    monkeypatch.setattr("pytest_prunecal.baseline.lock._lock", lambda _: None)
    gated.edit("weight-0.3:\n    accuracy: {mean: ", "weight-0.3:\n    accuracy: {mean: 9")
    outcome = gated.gate("--prunecal-update")
    assert outcome.ret == 0
    assert "accepted 7 cells; review the diff like code; this file system has no locks, so two" in outcome.out


def test_a_session_that_holds_the_lock_for_too_long(gated, monkeypatch):
    monkeypatch.setattr("pytest_prunecal.baseline.lock.PATIENCE", 0.1)
    before = gated.baseline.read_bytes()
    with accept.locked(gated.baseline, "held"):
        outcome = gated.gate("--prunecal-update")
    assert outcome.ret == 1
    assert "not refreshed: another session has held .tinynet.yaml.lock for 0.1 seconds; " in outcome.out
    assert gated.baseline.read_bytes() == before


def test_bases_that_another_session_pins_meanwhile(gated, monkeypatch):
    def pin():
        assert gated.gate("--prunecal-update", "--prunecal-pin").ret == 0

    meanwhile(monkeypatch, pin)
    outcome = gated.gate("--prunecal-update", "--prunecal-pruners=weight", "--prunecal-ratios=0.5")
    assert outcome.ret == 1
    assert "not refreshed: since this session began another one has pinned other base networks" in outcome.out
    assert gated.gate().ret == 0
