"""`--prunecal-pin`: base networks kept beside the baselines, so that no run trains its own."""

from __future__ import annotations

import hashlib

import pytest
import yaml

PIN = ("--prunecal-models=tinynet", "--prunecal-update", "--prunecal-pin")
GATE = ("--prunecal-models=tinynet",)


@pytest.fixture
def pinned(project):
    """A project whose base networks are pinned, and whose store is gone."""
    outcome = project.run(*PIN)
    assert outcome.ret == 0, outcome.text
    for entry in (project.path / ".prunecal").rglob("*.safetensors"):
        entry.unlink()
    return project


def test_pinning_names_both_bases_and_their_digests(pinned):
    text = pinned.baseline.read_text()
    base = yaml.safe_load(text)["base"]
    assert set(base) == {"plain", "slimmed"}
    for kind, named in base.items():
        content = (pinned.baseline.parent / named["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == named["sha256"]
        assert named["file"] == f"tinynet-{kind}-{named['sha256'][:8]}.safetensors"
    assert "base: pinned" in text


def test_a_pinned_gate_trains_no_base_and_is_identical(pinned):
    outcome = pinned.run(*GATE)
    assert outcome.ret == 0, outcome.text
    assert "7 cells: 7 identical" in outcome.out
    assert "measured elsewhere" not in outcome.out
    assert not list((pinned.path / ".prunecal" / "base").iterdir())


def test_pinning_again_changes_nothing(pinned):
    before = {path: path.read_bytes() for path in pinned.baseline.parent.iterdir()}
    assert pinned.run(*PIN).ret == 0
    assert {path: path.read_bytes() for path in pinned.baseline.parent.iterdir()} == before


def test_a_new_recipe_refuses_the_old_base_and_pinning_replaces_it(pinned):
    pinned.edit("epochs: 6", "epochs: 5", file="tiny.yaml")
    refused = pinned.run(*GATE, "--prunecal-update")
    assert refused.ret == 4
    assert "was trained by another recipe" in refused.text
    assert pinned.run(*PIN).ret == 0
    files = {path.name for path in pinned.baseline.parent.glob("*.safetensors")}
    named = yaml.safe_load(pinned.baseline.read_text())["base"]
    assert files == {base["file"] for base in named.values()}
    assert pinned.run(*GATE).ret == 0


def test_another_file_under_the_pinned_name_fails_every_cell(pinned):
    plain = next(pinned.baseline.parent.glob("tinynet-plain-*"))
    slimmed = next(pinned.baseline.parent.glob("tinynet-slimmed-*"))
    plain.write_bytes(slimmed.read_bytes())
    outcome = pinned.run(*GATE, "--prunecal-pruners=weight")
    assert outcome.ret == 1
    assert "its sha256 differs" in outcome.message("weight-0.3")


def test_a_missing_file_is_one_line(pinned):
    next(pinned.baseline.parent.glob("tinynet-plain-*")).unlink()
    outcome = pinned.run(*GATE)
    assert outcome.ret == 4
    assert "is not beside it" in outcome.text


@pytest.mark.parametrize(
    "extra",
    [
        ("--prunecal-models=tinynet", "--prunecal-pin"),
        ("--prunecal-models=tinynet", "--prunecal-pin", "--prunecal-update=missing"),
        (*PIN, "--prunecal-pruners=weight"),
        (*PIN, "--prunecal-ratios=0"),
        (*PIN, "--prunecal-store=memory://store"),
    ],
)
def test_what_pinning_does_not_go_with_is_one_line(project, extra):
    outcome = project.run(*extra)
    assert outcome.ret == 4
    assert "--prunecal-pin" in outcome.text
    assert not project.baseline.exists()


def test_all_seeds_start_from_the_pinned_base(project):
    assert project.gate("--prunecal-update", "--prunecal-pin", "--prunecal-seeds=2").ret == 0
    outcome = project.gate("--prunecal-power")
    assert outcome.ret == 0, outcome.text
    assert "7 cells: 7 identical" in outcome.out
    dense = yaml.safe_load(project.baseline.read_text())["cells"]["dense"]
    assert dense["accuracy"]["sd"] == dense["nll"]["sd"] == 0  # nothing of it depends on the seed


def test_no_cell_keeps_numbers_of_another_base(gated):
    text = gated.baseline.read_text()
    gated.baseline.write_text(text + "  weight-0.7:\n    accuracy: 0.5\n")
    pin = ["--prunecal-update", "--prunecal-pin"]
    says = "--prunecal-pin needs the whole grid: weight-0.7 would keep numbers of another base; "
    for options in (["--prunecal-pruners=weight"], ["--prunecal-ratios=0,0.3,0.5"]):
        outcome = gated.gate(*pin, *options)
        assert outcome.ret == 4
        assert "--prunecal-pin needs the whole grid: " in outcome.err
    assert says in outcome.err
    outcome = gated.gate(*pin)  # names it, and removes it
    assert outcome.ret == 0
    assert "accepted 7 cells, removed weight-0.7; review" in outcome.out
