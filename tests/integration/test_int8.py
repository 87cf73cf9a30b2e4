"""Gates of quantised networks, as a user sees them: int8 of a network of one's own, and without its extra."""

from importlib import util

import pytest
import torch
from torch import nn

from pytest_prunecal.lab.pruners import int8
from pytest_prunecal.study import extras


@pytest.fixture(scope="session", autouse=True)
def exporter_loaded():
    """Import all that exporting imports, for good: pytester forgets it, and it cannot come twice."""
    images = torch.rand(2, 3, 4, 4)
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    int8.prune(network, [(images, None)], images, torch.Generator())


def narrowed(project, *args):
    return project.gate("--prunecal-pruners=int8", *args)


@pytest.fixture
def named(project):
    """A protocol whose grid has int8."""
    project.edit("ratios: [0, 0.3, 0.5]\n", "ratios: [0, 0.3]\n", "tiny.yaml")
    project.edit("pruners: [weight, filter, channel]", "pruners: [weight, int8]", "tiny.yaml")
    return project


@pytest.fixture
def without(named, monkeypatch):
    """The same where the extra is not installed."""
    found = util.find_spec

    def lacking(name, *args):
        return None if name == "onnxscript" else found(name, *args)

    monkeypatch.setattr(extras, "find_spec", lacking)
    return named


def test_int8_is_a_cell_of_the_grid_with_costs_of_its_own(named):
    named.allow_noise()
    first = named.gate("--prunecal-update")
    assert first.ret == 0, first.text
    of_int8, dense, sparse = (first.numbers[f"prune[{cell}]"] for cell in ("int8", "dense", "weight-0.3"))
    assert len(first.numbers) == 3
    assert of_int8["int8"] == 1.0
    assert of_int8["macs"] == dense["macs"]
    assert of_int8["parameters"] == dense["parameters"] - 20  # norms are folded
    assert {"bytes", "int8"}.isdisjoint(dense)
    assert {"bytes", "int8"}.isdisjoint(sparse)
    assert abs(of_int8["accuracy"] - dense["accuracy"]) < 0.15
    written = named.baseline.read_text()
    assert f"    bytes: {of_int8['bytes']}\n    int8: 1.0000\n" in written.partition("  int8:\n")[2]
    assert "bytes" not in written.partition("  int8:\n")[0]

    told = first.watcher.measured["int8"]
    assert told["provenance"]["provider"] == "CPUExecutionProvider"
    assert "onnxruntime" in told["provenance"]
    assert "finetune" not in told["trace"]["stages"]
    assert "onnxruntime" not in first.watcher.measured["dense"]["provenance"]

    again = named.gate("--prunecal-fresh")
    assert again.ret == 0, again.text
    assert again.numbers["prune[int8]"] == of_int8
    assert again.line("int8").endswith("identical")
    assert named.gate().seeds["int8"] == 1


def test_a_bigger_file_is_a_change(named):
    named.allow_noise()
    assert narrowed(named, "--prunecal-update").ret == 0
    size = named.baseline.read_text().partition("bytes: ")[2].partition("\n")[0]
    named.edit(f"bytes: {size}", f"bytes: {int(size) - 200}")
    worse = narrowed(named)
    assert worse.ret == 1
    assert "bytes" in worse.message("int8")


def test_without_the_extra_a_grid_that_names_int8_leaves_it_out_and_says_so(without):
    outcome = without.gate("--prunecal-update")
    assert outcome.ret == 0, outcome.text
    assert [*outcome.numbers] == ["prune[dense]", "prune[weight-0.3]"]
    assert outcome.line("prunecal: left out: ") == (
        "prunecal: left out: pruner 'int8' needs onnxscript, which is not installed: "
        "pip install 'pytest-prunecal[onnx]'"
    )


def test_without_the_extra_int8_by_name_is_one_sentence(without):
    outcome = narrowed(without, "--prunecal-update")
    assert outcome.ret == 4
    assert outcome.err.splitlines()[-1] == (
        "ERROR: prunecal: pruner 'int8' needs onnxscript, which is not installed: "
        "pip install 'pytest-prunecal[onnx]'"
    )
    assert not outcome.numbers


def test_ratios_leave_out_a_pruner_that_takes_none(named):
    named.edit("pruners: [weight, int8]", "pruners: [int8]", "tiny.yaml")
    outcome = named.gate("--prunecal-ratios=0.3", "--prunecal-update")
    assert outcome.ret == 4
    assert "the grid is empty: " in outcome.err
    assert outcome.err.splitlines()[-1].endswith("--prunecal-ratios leaves out what takes no ratio: int8")


def test_without_the_extra_accepted_numbers_of_int8_are_not_passed_over(named, monkeypatch):
    assert named.gate("--prunecal-update").ret == 0
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "onnx" else util.find_spec(name))
    for args in ((), ("--prunecal-update",)):
        outcome = named.gate(*args)
        assert outcome.ret == 4
        assert (
            "prunecal: baselines/tiny/tinynet.yaml: int8 is accepted here: pruner 'int8' needs onnx, "
            "which is not installed: pip install 'pytest-prunecal[onnx]' (or gate the others: "
            "--prunecal-pruners=weight)" in outcome.err
        )
    assert named.gate("--prunecal-pruners=weight").ret == 0
