"""A tiny gate, accepted in several ways, and what must be true of its folder whatever happened to it."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import yaml
from children import Orders, run

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.metric import recorded

if TYPE_CHECKING:
    from pathlib import Path

    from children import Ended

PROTOCOL = """\
prunecal: 1
extends: quick
description: a campaign's
dataset: {name: digits, size: 8, train: 150, test: 60}
pruners: [weight]
ratios: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
base: {epochs: 6, learning_rate: 0.2, batch: 16, warmup: 0}
finetune: {epochs: 1, learning_rate: 0.05, batch: 16}
evaluation: {corruptions: [gaussian_noise, contrast]}
"""
MODEL = """\
from torch import nn


class Mean(nn.Module):
    def forward(self, maps):
        return maps.mean((2, 3))


def tiny(num_classes):
    first = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
    second = nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU()
    return nn.Sequential(*first, *second, Mean(), nn.Linear(12, num_classes))
"""
CONFTEST = """\
def pytest_prunecal_models(config):
    return {"tinynet": "tiny:tiny"}
"""
INI = """\
[pytest]
prunecal_protocol = tiny.yaml
prunecal_models = tinynet
prunecal_store = STORE
pythonpath = .
"""
CELLS = ("dense", *(f"weight-0.{tenth}" for tenth in range(1, 8)))
TWO_CELLS = ("-k", "dense or weight-0.5")
FILE = "baselines/tiny/tinynet.yaml"

Numbers = dict[str, dict[str, object]]


def ini(folder: Path, store: Path | str) -> None:
    """Say where the store is."""
    (folder / "pytest.ini").write_text(INI.replace("STORE", str(store)))


@dataclass(frozen=True)
class Places:
    """Where a worker of the campaign keeps its projects.

    Attributes:
        root: folder of all.
    """

    root: Path

    @property
    def store(self) -> Path:
        """A store that knows every cell."""
        return self.root / "store"

    @cached_property
    def empty(self) -> Path:
        """A project without accepted numbers."""
        folder = self.root / "empty"
        folder.mkdir()
        for name, text in {"tiny.yaml": PROTOCOL, "tiny.py": MODEL, "conftest.py": CONFTEST}.items():
            (folder / name).write_text(text)
        ini(folder, self.store)
        return folder

    def accepted(self, *options: str, start: Path | None = None) -> Path:
        """A project whose numbers were accepted with these options; made once."""
        origin = start or self.empty
        kept = self.root / f"{origin.name}-{'-'.join(options)}".replace("=", "").replace(" ", "")
        if not kept.exists():
            shutil.copytree(origin, kept)
            ended = run(kept, "--prunecal-update", *options)
            assert ended.code == 0, ended.text
            assert run(kept, "--prunecal-update", *options).code == 0  # whatever was not in the store is now
        return kept

    def copy(self, origin: Path, name: str) -> Path:
        """A project for one case."""
        folder = self.root / "cases" / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(origin, folder, symlinks=True)
        return folder

    def drop(self, folder: Path) -> None:
        """Forget a case."""
        shutil.rmtree(folder, ignore_errors=True)
        for out in folder.parent.glob(f"{folder.name}.*"):
            out.unlink()


def numbers(folder: Path) -> Numbers:
    """What a project accepts, cell by cell; empty if it has no baseline.

    Raises:
        PrunecalError: the baseline cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    found = baseline.read(path, FILE)
    return {
        cell_id: {"metrics": cell.metrics, "uncertainty": cell.uncertainty}
        for cell_id, cell in found.cells.items()
    }


def listing(folder: Path) -> dict[str, str]:
    """All files of the baselines' folder but locks, by name; of each its digest."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "baselines").rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def wrongs(folder: Path, *known: Numbers) -> list[tuple[str, str]]:
    """What is lost and what is torn in a project.

    Args:
        folder: the project.
        known: what it accepted before, and what the update accepts: each cell of the first must be there, and
            be as one of them has it.
    """
    before = known[0]
    path = folder / FILE
    if not path.exists():
        return [("lost", "the baseline is gone")] if before else []
    try:
        found = numbers(folder)
    except PrunecalError as error:
        return [("torn", str(error))]
    faults = []
    if gone := sorted(set(before) - set(found)):
        faults.append(("lost", f"accepted cells are gone: {', '.join(gone)}"))
    for cell_id, cell in found.items():
        if not any(cell == one.get(cell_id) for one in known):
            faults.append(("torn", f"{cell_id} has numbers that nobody accepted: {cell}"))
    return faults + beside(folder, found)


def beside(folder: Path, found: Numbers) -> list[tuple[str, str]]:
    """What is wrong with the files that a baseline names."""
    document: dict[str, Any] = yaml.safe_load((folder / FILE).read_bytes())
    named = [*document.get("base", {}).values(), *([document["images"]] if "images" in document else [])]
    for entry in named:
        path = (folder / FILE).with_name(entry["file"])
        if not path.is_file():
            return [("lost", f"{entry['file']} is named and is not there")]
        if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            return [("torn", f"{entry['file']} is not what the baseline names")]
    if "images" not in document:
        return []
    with zipfile.ZipFile((folder / FILE).with_name(document["images"]["file"])) as archive:
        index = json.loads(archive.read("index.json"))["cells"]
    for cell_id, cell in found.items():
        metrics: Any = cell["metrics"]
        if cell_id not in index:
            return [("lost", f"the results by image of {cell_id} are gone")]
        if any(recorded(value) != metrics.get(name) for name, value in index[cell_id]["metrics"].items()):
            return [("torn", f"the results by image of {cell_id} are of other numbers")]
    return []


def residue(folder: Path, wanted: dict[str, str]) -> list[tuple[str, str]]:
    """How the baselines' folder differs from what it ought to be."""
    found = listing(folder)
    more, less = sorted(set(found) - set(wanted)), sorted(set(wanted) - set(found))
    other = sorted(name for name in set(found) & set(wanted) if found[name] != wanted[name])
    if not (more or less or other):
        return []
    return [("lost" if less else "other", f"left behind: {more}; missing: {less}; other content: {other}")]


def operations(folder: Path, *args: str, log: Path, whole: bool = False) -> tuple[Ended, list[str]]:
    """Run, and list the operations that change files below the folder."""
    ended = run(folder, *args, orders=Orders(log=str(log), whole=whole))
    return ended, log.read_text().splitlines()
