"""`tolerance: auto` end to end: what it compares, what it catches, what it says it cannot see."""

from __future__ import annotations

import hashlib
import re
import zipfile

import pytest
import yaml

FEW = ("--prunecal-ratios=0,0.5", "--prunecal-pruners=weight")
CERTAIN = """\
        if not self.training:
            return torch.eye(10)[torch.zeros(len(maps), dtype=torch.int64)] * 50
        return self.head(maps.mean((2, 3)))
"""
ALONE = "less sharp than it could be: "


def images_of(project):
    (found,) = project.baseline.parent.glob("*.zip")
    return found


def test_the_same_code_is_compared_seed_by_seed(auto):
    outcome = auto.gate()
    assert outcome.ret == 0
    assert "7 cells: 7 identical" in outcome.out
    assert "compared against the accepted number of the same seed (6 cells)" in outcome.out
    assert ALONE not in outcome.out


def test_an_update_keeps_the_images_of_cells_that_it_did_not_measure(gated):
    before = images_of(gated).read_bytes()
    gated.edit("dense:\n    accuracy: {mean: ", "dense:\n    accuracy: {mean: 9")
    assert gated.gate("--prunecal-ratios=0", "--prunecal-update").ret == 0
    assert images_of(gated).read_bytes() == before
    with zipfile.ZipFile(images_of(gated)) as archive:
        names = {name for name in archive.namelist() if name.startswith("cells/")}
    assert names == {f"cells/{cell}" for cell in gated.CELLS}


def test_new_images_take_the_place_of_the_old(gated):
    old = images_of(gated).name
    assert gated.gate("--prunecal-seeds=2", *FEW, "--prunecal-update").ret == 0
    new = images_of(gated)
    named = yaml.safe_load(gated.baseline.read_text())["images"]
    assert old != new.name == named["file"]
    assert named["sha256"] == hashlib.sha256(new.read_bytes()).hexdigest()
    assert new.name == f"tinynet-images-{named['sha256'][:8]}.zip"


def test_the_images_of_a_removed_cell_go_with_it(gated):
    gated.edit("ratios: [0, 0.3, 0.5]", "ratios: [0, 0.3]", "tiny.yaml")
    assert gated.gate("--prunecal-update").ret == 0
    with zipfile.ZipFile(images_of(gated)) as archive:
        assert not [name for name in archive.namelist() if name.endswith("0.5")]


def test_without_the_images_it_works_and_says_so(auto):
    name = images_of(auto).name
    images_of(auto).unlink()
    outcome = auto.gate(*FEW)
    assert outcome.ret == 0
    assert f"{ALONE}baselines/tiny/{name} is not there (dense, weight-0.5)" in outcome.out
    another = "compared against the one accepted seed, from another base network (dense, weight-0.5)"
    assert another in outcome.out


def test_a_baseline_that_names_no_images_says_so(auto):
    text = auto.baseline.read_text()
    auto.baseline.write_text(re.sub(r"images: .*\n", "", text))
    outcome = auto.gate(*FEW)
    assert outcome.ret == 0
    assert f"{ALONE}the baseline names no results by image (dense, weight-0.5)" in outcome.out
    assert auto.gate("--prunecal-update").ret == 0
    assert auto.baseline.read_text() == text


def test_an_edited_number_is_compared_without_images(auto):
    (accuracy,) = re.findall(r"weight-0.5:\n    accuracy: {mean: 0.(\d+)", auto.baseline.read_text())
    auto.edit(f"weight-0.5:\n    accuracy: {{mean: 0.{accuracy}", "weight-0.5:\n    accuracy: {mean: 0.4242")
    outcome = auto.gate(*FEW)
    assert outcome.ret == 0
    why = "the baseline's numbers were edited since its results by image were written"
    assert f"{ALONE}{why} (weight-0.5)" in outcome.out
    assert "2 cells: 1 identical, 1 ok" in outcome.out


def test_an_edited_count_is_no_replay(auto):
    auto.edit("parameters: 1250", "parameters: 1249")
    outcome = auto.gate("--prunecal-ratios=0")
    assert (outcome.ret, outcome.cells) == (0, {"dense": "passed"})  # within the smallest effect that matters
    assert outcome.line("dense ").endswith(" ok")


@pytest.mark.parametrize("update", [[], ["--prunecal-update=missing"], ["--prunecal-update=failing"]])
def test_a_damaged_file_of_images_is_one_line(gated, update):
    images_of(gated).write_bytes(images_of(gated).read_bytes()[:-7])
    outcome = gated.gate(*update)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = outcome.err.strip().splitlines()
    name = f"baselines/tiny/{images_of(gated).name}"
    assert line.startswith(f"ERROR: prunecal: {name}: is not the file that {gated.FILE} names: its sha256 ")


def test_a_damaged_file_that_the_baseline_names_is_one_line(gated):
    images_of(gated).write_bytes(b"no archive")
    text = gated.baseline.read_text()
    sha256 = hashlib.sha256(b"no archive").hexdigest()
    gated.baseline.write_text(re.sub(r"sha256: \w+", f"sha256: {sha256}", text))
    outcome = gated.gate()
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = outcome.err.strip().splitlines()
    assert line.startswith(f"ERROR: prunecal: baselines/tiny/{images_of(gated).name}: cannot be read (")


def test_a_full_update_mends_a_damaged_file(gated):
    text, before = gated.baseline.read_text(), images_of(gated).read_bytes()
    images_of(gated).write_bytes(b"no archive")
    assert gated.gate("--prunecal-update").ret == 0
    assert (gated.baseline.read_text(), images_of(gated).read_bytes()) == (text, before)


def test_a_gross_regression_is_caught_and_the_rule_is_named(auto):
    auto.edit("        return self.head(maps.mean((2, 3)))\n", CERTAIN, "tiny.py")
    outcome = auto.gate()
    assert outcome.ret == 1
    assert set(outcome.cells.values()) == {"failed"}
    message = outcome.message("weight-0.5")
    assert message.startswith("changed: the evaluation of the base network differs: ")
    dense = outcome.message("dense")
    assert re.match(r"regression: .*nll \d\.\d+ -> \d\d\.", dense)
    assert re.search(r"^nll .* auto \(protocol tiny\) +regression$", dense, re.MULTILINE)
    assert "compared exactly, as noise has no part in it: " in dense


def test_another_base_network_is_no_regression(auto):
    auto.edit("super().__init__()\n", "super().__init__()\n        torch.rand(3)\n", "tiny.py")
    # Channel pruning of so small a network keeps as many channels as its base training happens to leave.
    outcome = auto.gate("--prunecal-pruners=weight,filter")
    assert outcome.ret == 0, outcome.out
    assert "5 cells: 5 ok" in outcome.out
    assert "compared against the one accepted seed, from another base network (" in outcome.out
    assert "compared by the distance from the base network, against the one accepted seed (" in outcome.out


def test_power_lists_what_each_comparison_sees(auto):
    outcome = auto.gate("--prunecal-power", *FEW)
    assert outcome.ret == 0
    lines = outcome.out.splitlines()
    start = lines.index(
        "smallest regression caught with 95 % probability (* noise hides smaller ones that matter)"
    )
    header, dense, weight = (line.split() for line in lines[start + 1 : start + 4])
    assert header[:8] == ["cell", "accuracy", "ece", "nll", "brier", "mpc", "rpc", "corrupted_ece"]
    assert header[8:] == ["parameters", "macs", "sparsity"]
    # The dense cell is the very network: nothing but what nobody cares about is hidden.
    assert (dense[0], dense[1], dense[-1]) == ("dense", "0.0050", "0.0050")
    assert weight[0] == "weight-0.5"
    assert weight[1].endswith("*")
    assert "smallest regression" not in auto.gate(*FEW).out


def test_other_corrupted_images_are_not_compared(auto):
    auto.edit("corruptions: generated", "corruptions: published")
    outcome = auto.gate("--prunecal-ratios=0")
    assert (outcome.ret, outcome.cells) == (1, {"dense": "failed"})
    message = outcome.message("dense")
    assert message.splitlines()[0] == (
        "incomparable: the baseline's corrupted images are published, this run's generated; "
        "give the same data folder, or measure again with --prunecal-update"
    )
    marked = {line.split()[0] for line in message.splitlines() if line.endswith(" incomparable")}
    assert marked == {"mpc", "rpc", "corrupted_ece"}
    assert "1 cell: 1 incomparable" in outcome.out
    assert auto.gate("--prunecal-update").ret == 0
    assert "corruptions: generated" in auto.baseline.read_text()
