"""An engine is one file and one line; in front of it stands what reuses stored numbers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab import engines
from pytest_prunecal.lab.engines import Setup
from pytest_prunecal.store import checksum
from pytest_prunecal.study import protocol_file
from pytest_prunecal.study.builtin import ENGINES
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.extensions import Extensions
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.trace import Jitter

CELL = Cell("vgg19", "weight", 0.5)


def start(setup, engine="cluster"):
    return engines.start(setup, engine)


CLUSTER = """
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.trace import Jitter

asked = []


class Cluster:
    data = "data"

    def __init__(self, setup, store, sources):
        asked.append("made")
        self.setup = setup

    @property
    def device(self):
        asked.append("device")
        return "Many GPUs"

    def measure(self, cell, seeds=1, *, one_base=False):
        asked.append(f"{cell.id} from one base" if one_base else cell.id)
        if cell.ratio > 0.8:
            raise OSError(f"no node for {cell.id}")
        if seeds > 5:
            raise PrunecalError("too many seeds")
        protocol = self.setup.protocol
        return Measurement(
            {name: 0 for name in METRICS} | {"accuracy": cell.ratio},
            provenance={
                "protocol": protocol.name,
                "fingerprint": protocol.fingerprint,
                "seed": protocol.seed,
                "seeds": seeds,
            },
        )

    def trained_bases(self, cell, seeds, *, one_base=False):
        return []

    def jitter(self, cell, repeats, measured=None):
        known = measured and f"a measurement over {measured.provenance['seeds']}"
        asked.append(f"jitter of {known}")
        return Jitter({"dense": {"ece": 0.5}}, dict.fromkeys(METRICS, [0.25, -0.25]) if repeats else {})
"""


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """A session's setup with an engine of one's own: a file and a line."""
    (tmp_path / "cluster.py").write_text(CLUSTER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(ENGINES, "cluster", "cluster:Cluster")
    monkeypatch.delitem(sys.modules, "cluster", raising=False)
    quick = protocol_file.load("quick", Path())
    return Setup(quick, str(tmp_path / "store"), "cpu", None, Extensions())


def measured(setup, seeds, **how):
    """What the engine gives for the cell."""
    protocol = setup.protocol
    told = {"protocol": "quick", "fingerprint": protocol.fingerprint, "seed": 1, "seeds": seeds}
    return Measurement(dict.fromkeys(METRICS, 0) | {"accuracy": 0.5}, provenance=told, **how)


def asked():
    """What the engine was asked for since this was last called."""
    module = sys.modules.get("cluster")
    found = list(module.asked) if module else []
    if module:
        module.asked.clear()
    return found


def test_it_measures_what_the_store_does_not_have(setup):
    engine = start(setup)
    assert asked() == []  # nothing is needed of it yet
    assert engine.measure(CELL) == measured(setup, 1)
    assert engine.measure(CELL, seeds=3) == measured(setup, 3)
    assert asked() == ["made", CELL.id, CELL.id]
    again = start(setup).measure(CELL)
    assert again == measured(setup, 1, reused=True)
    assert asked() == []


def test_seeds_of_one_base_network_are_kept_apart_from_those_of_their_own(setup):
    engine = start(setup)
    for one_base, reused in ((False, False), (True, False), (True, True), (False, True)):
        assert engine.measure(CELL, 2, one_base=one_base).reused is reused
    assert asked() == ["made", CELL.id, f"{CELL.id} from one base"]
    # Of a single seed both are the same.
    assert [engine.measure(CELL, one_base=one_base).reused for one_base in (True, False)] == [False, True]


def test_it_measures_again_what_is_to_be_fresh_once(setup):
    start(setup).measure(CELL)
    engine = start(replace(setup, fresh=True))
    assert [engine.measure(CELL).reused for _ in range(2)] == [False, True]
    assert asked() == ["made", CELL.id, "made", CELL.id]


def test_it_is_asked_for_the_device_where_only_it_can_tell(setup):
    assert start(setup).device == "cpu"
    assert asked() == []
    engine = start(replace(setup, device="cuda"))
    assert engine.device == "Many GPUs"
    engine.measure(CELL)
    assert asked() == ["made", "device", CELL.id]
    assert not start(setup).measure(CELL).reused  # numbers of another device are other numbers


def test_it_repeats_a_cell_once(setup):
    engine = start(setup)
    measurement = engine.measure(CELL, 3)
    assert asked() == ["made", CELL.id]
    found = engine.jitter(CELL, 2)
    assert found == Jitter({"dense": {"ece": 0.5}}, {name: [0.25, -0.25] for name in METRICS})
    assert asked() == ["jitter of a measurement over 3"]  # of what it has just given
    assert engine.jitter(CELL, 2) == found
    again = start(setup)
    assert again.jitter(CELL, 2) == found
    assert asked() == []
    bare = again.jitter(CELL, 0, measurement)
    assert bare == Jitter({"dense": {"ece": 0.5}})
    assert asked() == ["made", "jitter of a measurement over 3"]
    fresh = start(replace(setup, fresh=True))
    assert [fresh.jitter(CELL, 2) for _ in range(2)] == [found, found]
    assert asked() == ["made", "jitter of None"]


@pytest.mark.parametrize(
    "forged",
    [
        '{"jitter": {"trace": {}, "metrics": {}}, "bases": {}}',
        '{"jitter": {"trace": {"dense": {"ece": -1}}, "metrics": {}}, "bases": {}}',
        '{"jitter": {"trace": {}, "metrics": {}}}',
        "[]",
        "",
    ],
)
def test_a_stored_jitter_that_can_be_none_is_measured_again(setup, forged):
    found = start(setup).jitter(CELL, 2)
    asked()
    (path,) = (Path(setup.store) / "jitter").glob("*.json")
    path.write_text(forged)
    checksum.seal(Path(setup.store), f"jitter/{path.name}", checksum.line(path, f"jitter/{path.name}"))
    assert start(setup).jitter(CELL, 2) == found
    assert asked() == ["made", "jitter of None"]


@pytest.mark.parametrize(
    ("cell", "seeds", "error"), [(Cell("vgg19", "weight", 0.9), 1, OSError), (CELL, 9, PrunecalError)]
)
def test_what_it_raises_comes_out_and_it_is_not_asked_again(setup, cell, seeds, error):
    engine = start(setup)
    with pytest.raises(error, match=r"no node|too many seeds"):
        engine.measure(cell, seeds)
    assert asked() == ["made", cell.id]


def test_edits_meanwhile_are_told_and_nothing_is_kept(setup, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("1")
    setup = replace(setup, extensions=Extensions(files=(table,)))
    engine = start(setup)
    assert engine.measure(CELL).warnings == ()
    table.write_text("12")
    told = (f"not kept for another run: {table} was edited meanwhile",)
    assert engine.measure(Cell("vgg19", "weight", 0.25)).warnings == told
    assert not engine.measure(Cell("vgg19", "weight", 0.25)).reused


def test_without_torch():
    imports = "import sys, pytest_prunecal.lab.engines, pytest_prunecal.lab.engines.reusing"
    code = f"{imports}; sys.exit(bool({{'torch', 'numpy'}} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_is_there(name, tmp_path):
    quick = protocol_file.load("quick", Path())
    setup = Setup(quick, str(tmp_path / "store"), "cpu", None, Extensions())
    assert start(setup, name).trained_bases(Cell("vgg19", None, 0.0), 0) == []
