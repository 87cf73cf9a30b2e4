"""Networks of torchvision and timm under built-in pruners; what is found is what the docs' table says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("timm")
pytest.importorskip("torch_pruning")

_SPEC = importlib.util.spec_from_file_location("prunecal_zoo", Path(__file__).with_name("zoo.py"))
assert _SPEC
assert _SPEC.loader
zoo = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(zoo)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def one_thread():
    """Arithmetic in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", zoo.rows_of_page())
def test_a_network_is_pruned_trains_and_computes_what_its_masked_twin_does(name):
    assert zoo.row_of(name) == zoo.rows_of_page()[name]


def test_the_table_has_what_was_promised():
    rows = zoo.rows_of_page()
    assert len(rows) >= 38
    assert {*rows} <= {*zoo.NETWORKS}
