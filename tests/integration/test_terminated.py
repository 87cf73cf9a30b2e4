"""Told to terminate, or stopped by pytest-timeout: nothing that is finished is lost, and nothing crashes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
import yaml

STUCK = """
from pathlib import Path
from time import sleep

class Stuck(Tiny):
    def forward(self, images):
        if self.training and self.conv1.out_channels == 4:  # filter-0.5
            Path("stuck").touch()
            sleep(3600)
        return super().forward(images)

def tiny(num_classes):
    return Stuck(num_classes)
"""
WAITING = """
import time
from pathlib import Path

def pytest_keyboard_interrupt():
    Path("interrupted").touch()
    time.sleep(3600)
"""


@pytest.fixture
def stuck(project, monkeypatch, wait_until):
    """Start a gate whose last cell does not end, and give its process when all others are measured."""
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)
    with (project.path / "tiny.py").open("a") as file:
        file.write(STUCK)
    started = []

    def start(*args):
        command = [sys.executable, "-m", "pytest", "-v", "--prunecal-models=tinynet", "--prunecal-update"]
        command += ["--prunecal-pruners=filter", *args]
        with (project.path / "out.txt").open("w") as out:
            run = subprocess.Popen(command, cwd=project.path, stdout=out, stderr=subprocess.STDOUT)
        started.append(run)
        text = project.path / "out.txt"
        wait_until(lambda: (project.path / "stuck").exists() and text.read_text().count("PASSED") == 2, run)
        return run

    yield start
    for run in started:
        run.kill()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_is_finished_is_accepted(project, stuck, patience, workers):
    run = stuck("--prunecal-json=run.json", "-n", workers)
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=patience) == pytest.ExitCode.INTERRUPTED
    text = (project.path / "out.txt").read_text()
    assert list(yaml.safe_load(project.baseline.read_text())["cells"]) == ["dense", "filter-0.3"]
    assert "2 cells: 2 accepted (interrupted)" in text
    assert "KeyboardInterrupt: SIGTERM: ends as after Ctrl-C" in text
    assert "INTERNALERROR" not in text
    report = json.loads((project.path / "run.json").read_text())
    assert [cell["id"] for cell in report["models"][0]["cells"]] == ["dense", "filter-0.3"]


def test_a_second_signal_kills(project, stuck, wait_until, patience):
    project.write({"conftest.py": (project.path / "conftest.py").read_text() + WAITING})
    run = stuck()
    run.send_signal(signal.SIGTERM)
    wait_until((project.path / "interrupted").exists, run)
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=patience) == -signal.SIGTERM


def test_a_handler_of_the_users_own_stays(project, stuck, patience):
    own = "\nimport os, signal\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(7))\n"
    project.write({"conftest.py": (project.path / "conftest.py").read_text() + own})
    run = stuck()
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=patience) == 7


def test_a_timeout_in_the_import_of_torch(project):
    pytest.importorskip("pytest_timeout")
    outcome = project.subprocess(
        *("--prunecal-models=tinynet", "--prunecal-pruners=weight", "--prunecal-ratios=0,0.3"),
        *("--prunecal-update", "--timeout=0.05", "--timeout-method=signal"),
    )
    assert outcome.ret == 1
    assert "Timeout (>0.05s) from pytest-timeout" in outcome.out
    assert "Fatal Python error" not in outcome.text
    assert "2 cells: 2 error" in outcome.out
