"""Networks of torchvision and timm under built-in pruners: what is found is what the docs' table says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("timm")
pytest.importorskip("torch_pruning")

_SPEC = importlib.util.spec_from_file_location("prunecal_zoo", Path(__file__).with_name("zoo.py"))
assert _SPEC
assert _SPEC.loader
zoo = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(zoo)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

_LEFT = r"(0\.\d\d|1\.00)\*?"


@pytest.mark.parametrize("name", zoo.SMALLEST)
def test_a_network_is_pruned_trains_and_computes_what_its_masked_twin_does(name):
    assert zoo.row_of(name) == zoo.rows_of_page()[name]


def test_the_table_has_what_was_promised():
    rows = zoo.rows_of_page()
    assert len(rows) >= 38
    assert [*rows] == [name for name in zoo.NETWORKS if name in rows]
    assert {*zoo.SMALLEST} <= {*rows}
    for name, row in rows.items():
        weight = r"0\.30 \| 0\.50"
        channel = rf"({_LEFT} \| {_LEFT}|no batch norm \| no batch norm)"
        start = re.escape(f"| `{name}` | {zoo.NETWORKS[name]} | ")
        assert re.fullmatch(rf"{start}{weight} \| {_LEFT} \| {_LEFT} \| {channel} \|", row), row
