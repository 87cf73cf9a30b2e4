"""An edit of what shapes a base network trains it anew, and no other edit does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_prunecal
from pytest_prunecal.store.imports import reached_within

PACKAGE = Path(pytest_prunecal.__file__).parent
EDITING = """
import json, sys
from pathlib import Path
from pytest_prunecal.lab.training import trainer

names = [name for name in sys.modules if name.startswith("pytest_prunecal")]
loaded = [vars(sys.modules[name]).get("__file__") for name in names]
from pytest_prunecal.lab import base_network, corruptions
from pytest_prunecal.store import sources

package = Path(trainer.__file__).parents[2]

def digests():
    sources.package_digest.cache_clear()
    return base_network.training_code(), sources.package_digest(corruptions)

before, base, corrupted = digests(), [], []
for path in sorted(package.rglob("*.py")):
    text = path.read_text()
    path.write_text(text + "# edited\\n")
    for found, digest, expected in zip((base, corrupted), digests(), before):
        if digest != expected:
            found.append(str(path.relative_to(package)))
    path.write_text(text)
assert digests() == before
loaded = [str(Path(path).relative_to(package)) for path in loaded]
print(json.dumps({"loaded": loaded, "base": base, "corrupted": corrupted}))
"""


@pytest.fixture(scope="module")
def edited(tmp_path_factory):
    """What editing each module of a copy of this package makes anew, and what the trainer loads."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, root / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", EDITING]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: set(files) for name, files in json.loads(done.stdout).items()}


def folder(name):
    return {path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / name).rglob("*.py")}


def test_what_the_trainer_loads_and_the_models_train_a_base_anew_and_nothing_else(edited):
    # The package's own `__init__` holds names and the version, which every release changes.
    assert edited["base"] == (edited["loaded"] | folder("lab/models")) - {"__init__.py"}


def test_names_that_are_in_it(edited):
    assert edited["base"] > {
        *("lab/training/trainer.py", "lab/training/loop.py", "lab/training/sgd.py"),
        "lab/training/adamw.py",
        *("lab/training/augmentation.py", "lab/forward.py", "lab/reproducible.py", "store/environment.py"),
        *("lab/models/vgg.py", "lab/models/resnet.py", "lab/models/layers.py"),
    }


@pytest.mark.parametrize(
    "outside",
    [
        *("lab/evaluation", "lab/metrics", "lab/corruptions", "lab/datasets", "lab/engines"),
        *("gate", "report", "judge", "baseline", "study"),
    ],
)
def test_folders_that_are_not(edited, outside):
    assert folder(outside)
    assert not edited["base"] & folder(outside)


def test_modules_that_are_not(edited):
    others = {"plugin.py", "lab/measure.py", "lab/bench.py", "lab/over_seeds.py"}
    others |= {"lab/trace.py", "lab/jitter.py"}
    others |= {"store/store.py", "store/sources.py", "store/imports.py", "lab/pruners/weight.py"}
    others |= {
        "lab/pruners/channel.py",
        "lab/pruners/graph.py",
        "lab/pruners/coupled.py",
        "lab/pruners/cut.py",
    }
    assert others <= {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    assert not edited["base"] & others


def test_corrupted_sets_are_made_by_their_folder(edited):
    assert edited["corrupted"] == folder("lab/corruptions")


def test_corruptions_reach_nothing_else_but_names_and_errors():
    start = list((PACKAGE / "lab/corruptions").glob("*.py"))
    reached = {path.relative_to(PACKAGE).as_posix() for path in reached_within(PACKAGE, start)}
    outside = reached - folder("lab/corruptions")
    names = {"study/builtin.py", "study/pruner.py"}
    assert outside == {"errors.py", "lab/__init__.py", "study/__init__.py"} | names
