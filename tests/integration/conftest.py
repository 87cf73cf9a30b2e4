"""A tiny gate of a user's own, in a directory of its own, and ways to run pytest on it."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROTOCOL = """\
prunecal: 1
extends: quick
dataset: {name: digits, size: 8, train: 150, test: 60}
ratios: [0, 0.3, 0.5]
base: {epochs: 6, learning_rate: 0.2, batch: 16, warmup: 0}
finetune: {epochs: 1, learning_rate: 0.05, batch: 16}
evaluation: {corruptions: [gaussian_noise, contrast]}
pruners: [weight, filter, channel]
tolerance:
  accuracy: {abs: 0.05}
  ece: {abs: 0.05}
  nll: {abs: 0.2}
  brier: {abs: 0.05}
  mpc: {abs: 0.05}
  rpc: {abs: 0.1}
  corrupted_ece: {abs: 0.05}
  parameters: 0
  macs: 0
  sparsity: 0
"""
MODEL = '''\
import os

import torch
from torch import nn

from pytest_prunecal.lab.models.groups import ChannelGroup


class Tiny(nn.Module):
    """Two convs and a head: trains in a blink."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(12)
        self.head = nn.Linear(12, num_classes)
        self.untrained = True

    def load_state_dict(self, state):
        self.untrained = False
        return super().load_state_dict(state)

    def forward(self, images):
        if self.training and self.untrained and len(images) > 2:  # two images only try it out
            self.first_step()
        maps = torch.relu(self.bn1(self.conv1(images)))
        maps = torch.relu(self.bn2(self.conv2(maps)))
        return self.head(maps.mean((2, 3)))

    def first_step(self):
        """A base network begins its training."""
        self.untrained = False
        if "TINY_LOG" in os.environ:
            with open(os.environ["TINY_LOG"], "a") as log:
                log.write("base\\n")

    def channel_groups(self):
        return [
            ChannelGroup(producer="conv1", bn="bn1", consumers=("conv2",)),
            ChannelGroup(producer="conv2", bn="bn2", consumers=("head",)),
        ]


def tiny(num_classes):
    return Tiny(num_classes)
'''
CONFTEST = """\
def pytest_prunecal_models(config):
    return {"tinynet": "tiny:tiny"}
"""
INI = """\
[pytest]
prunecal_protocol = tiny.yaml
pythonpath = .
"""


class Watcher:
    """A plugin that keeps what the controller of a run sees."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.numbers: dict[str, dict[str, float]] = {}
        self.measured: dict[str, dict[str, Any]] = {}
        self.messages: dict[str, str] = {}
        self.collected: list[str] = []
        self.config: pytest.Config | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.config = session.config
        self.collected = [item.nodeid for item in session.items]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.failed:
            self.outcomes[report.nodeid] = report.outcome
            if report.failed:
                self.messages[report.nodeid] = report.longreprtext
        if hasattr(report, "prunecal"):
            name = report.nodeid.partition("::")[2]
            self.measured[name[len("prune[") : -1]] = report.prunecal["measurement"]
            self.numbers[name] = report.prunecal["measurement"]["metrics"]


@dataclass
class Outcome:
    """What a run of pytest did."""

    ret: int
    out: str
    err: str
    watcher: Watcher = field(default_factory=Watcher)

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def cells(self) -> dict[str, str]:
        """Cell id to outcome, in the order in which they were reported."""
        return {
            nodeid.partition("::prune[")[2][:-1]: outcome
            for nodeid, outcome in self.watcher.outcomes.items()
            if "::prune[" in nodeid
        }

    @property
    def numbers(self) -> dict[str, dict[str, float]]:
        """Test name to its metrics in full precision."""
        return self.watcher.numbers

    @property
    def seeds(self) -> dict[str, int]:
        """Cell id to over how many seeds it was measured."""
        return {cell: found["provenance"]["seeds"] for cell, found in self.watcher.measured.items()}

    def message(self, cell: str) -> str:
        """What a failing cell says."""
        (found,) = (
            text for nodeid, text in self.watcher.messages.items() if nodeid.endswith(f"::prune[{cell}]")
        )
        return found

    def line(self, start: str) -> str:
        """The only line that starts so."""
        (found,) = (line for line in self.out.splitlines() if line.startswith(start))
        return found


class Project:
    """A directory with a protocol, a model of the user's own and, if asked for, accepted numbers.

    Attributes:
        CELLS: ids of the grid in the order in which they are measured.
        FILE: the model's baseline file.
    """

    CELLS = ("dense", "weight-0.3", "channel-0.3", "weight-0.5", "filter-0.3", "filter-0.5", "channel-0.5")
    FILE = "baselines/tiny/tinynet.yaml"

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester, self.path = pytester, pytester.path
        self.baseline = self.path / self.FILE

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def edit(self, old: str, new: str, file: str = "baselines/tiny/tinynet.yaml") -> None:
        path = self.path / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def allow_noise(self) -> None:
        """Have each metric allowed what its noise explains."""
        protocol = self.path / "tiny.yaml"
        protocol.write_text(protocol.read_text().partition("tolerance:\n")[0] + "tolerance: auto\n")

    def tune(self, *, worse: bool) -> None:
        """Have fine-tuning unlearn from now on, or take slightly other steps; base networks stay the same."""
        loads = "    def load_state_dict(self, state):\n"
        self.edit(loads, f"{loads}        self.tuned = True\n", "tiny.py")
        tuning = 'self.training and getattr(self, "tuned", False)'
        head = "        return self.head(maps.mean((2, 3)))\n"
        logits = "        logits = self.head(maps.mean((2, 3)))\n"
        returned = f"{'-1' if worse else '1.02'} * logits if {tuning} else logits"
        self.edit(head, f"{logits}        return {returned}\n", "tiny.py")

    def run(self, *args: object) -> Outcome:
        """Run pytest in this process (workers of -n are processes of their own)."""
        watcher = Watcher()
        result = self.pytester.runpytest_inprocess(*map(str, args), plugins=[watcher], no_reraise_ctrlc=True)
        outcome = Outcome(result.ret, result.stdout.str(), result.stderr.str(), watcher)
        assert "INTERNALERROR" not in outcome.text
        return outcome

    def gate(self, *args: object) -> Outcome:
        """Run the gate on the project's model."""
        return self.run("--prunecal-models=tinynet", *args)

    def keep(self, place: Path, *forgotten: str) -> None:
        """Keep the project for other tests, less some kinds of the store's entries: here too."""
        for pattern in ("__pycache__", ".pytest_cache", "locks", *forgotten):
            for path in [*self.path.rglob(pattern)]:
                shutil.rmtree(path)
        shutil.copytree(self.path, place)

    def restore(self, place: Path) -> None:
        """Have what was kept."""
        shutil.copytree(place, self.path, dirs_exist_ok=True)

    def subprocess(self, *args: object) -> Outcome:
        """Run pytest in a process of its own."""
        result = self.pytester.runpytest_subprocess(*map(str, args))
        outcome = Outcome(result.ret, result.stdout.str(), result.stderr.str())
        assert "INTERNALERROR" not in outcome.text
        return outcome


@pytest.fixture(scope="session")
def torch_loaded() -> None:
    """Import torch for good: pytester forgets what a run imports first, and torch cannot come twice."""
    for name in ("engines.local", "corruptions.generate", "pruners.filter", "datasets.digits"):
        import_module(f"pytest_prunecal.lab.{name}")
    import_module("pytest_prunecal.gate.controller")
    for name in ("onnx", "onnxruntime", "torch_pruning", "torch.utils.flop_counter"):  # neither can they
        with suppress(ImportError):
            import_module(name)


@pytest.fixture(scope="session")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs accepted numbers leaves them for the others."""
    return tmp_path_factory.mktemp("accepted") / "project"


@pytest.fixture
def plain(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty directory to run pytest in."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -p no:benchmark")  # slow to import
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return pytester


@pytest.fixture
def project(plain: pytest.Pytester, torch_loaded: None) -> Project:  # noqa: ARG001 - it is there for what it does
    """A project without accepted numbers."""
    made = Project(plain)
    made.write({"tiny.yaml": PROTOCOL, "tiny.py": MODEL, "conftest.py": CONFTEST, "pytest.ini": INI})
    return made


@pytest.fixture
def gated(project: Project, accepted: Path) -> Project:
    """A project with accepted numbers of every cell; its store has base networks and no measurements."""
    if not accepted.exists():
        assert project.gate("--prunecal-update").ret == 0
        project.keep(accepted, "measurement", "evaluation", "jitter")
    project.restore(accepted)
    return project


@pytest.fixture
def auto(gated: Project) -> Project:
    """The same project, each metric allowed what its noise explains."""
    gated.allow_noise()
    return gated


@pytest.fixture(scope="session")
def accepted_over_seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `accepted`, for `sure`."""
    return tmp_path_factory.mktemp("sure") / "project"


@pytest.fixture
def sure(project: Project, accepted_over_seeds: Path) -> Project:
    """A project under `auto` whose numbers were accepted over three seeds of pinned base networks."""
    if not accepted_over_seeds.exists():
        project.allow_noise()
        assert project.gate("--prunecal-update", "--prunecal-pin", "--prunecal-seeds=3").ret == 0
        project.keep(accepted_over_seeds, "measurement", "evaluation", "jitter")
    project.restore(accepted_over_seeds)
    return project
