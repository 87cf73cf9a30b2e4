"""One writer at a time, whoever dies, and said where there are no locks."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys

import pytest

from pytest_prunecal.baseline import lock
from pytest_prunecal.baseline.lock import locked
from pytest_prunecal.errors import PrunecalError

HOLDER = """
import sys, time
from pathlib import Path
from pytest_prunecal.baseline.lock import locked
with locked(Path(sys.argv[1]), "a.yaml"):
    print("held", flush=True)
    time.sleep(1000)
"""
ADDER = """
import sys
from pathlib import Path
from pytest_prunecal.baseline.lock import locked
path = Path(sys.argv[1])
for _ in range(200):
    with locked(path, "a.yaml"):
        path.write_text(str(int(path.read_text()) + 1))
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.yaml"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.1)


def start(script, path):
    return subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)


def test_nothing_is_left(path):
    with locked(path, "a.yaml") as held:
        assert held
        assert [entry.name for entry in path.parent.iterdir()] == [".a.yaml.lock"]
    assert not list(path.parent.iterdir())


@pytest.mark.usefixtures("impatient")
def test_nobody_else_holds_it(path):
    says = re.escape("a.yaml: not refreshed: another session has held .a.yaml.lock for 0.1 seconds; ")
    with locked(path, "a.yaml"), pytest.raises(PrunecalError, match=says), locked(path, "a.yaml"):
        pass
    with locked(path, "a.yaml") as held:
        assert held


@pytest.mark.usefixtures("impatient")
def test_the_dead_hold_nothing(path):
    holder = start(HOLDER, path)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(PrunecalError), locked(path, "a.yaml"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert path.with_name(".a.yaml.lock").exists()
    with locked(path, "a.yaml") as held:
        assert held
    assert not list(path.parent.iterdir())


def test_increments_of_many_processes_add_up(path):
    path.write_text("0")
    adders = [start(ADDER, path) for _ in range(6)]
    assert [adder.wait() for adder in adders] == [0] * 6
    assert path.read_text() == "1200"


def test_a_link_at_its_place_is_not_followed(path):
    path.with_name(".a.yaml.lock").symlink_to(path.with_name("elsewhere"))
    with pytest.raises(OSError, match="symbolic links"), locked(path, "a.yaml"):
        pass
    assert not path.with_name("elsewhere").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_said(path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(path, "a.yaml") as held:
        assert not held


def test_other_errors_come_out(path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="broken"), locked(path, "a.yaml"):
        pass
