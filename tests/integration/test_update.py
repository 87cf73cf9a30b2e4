"""`--prunecal-update`: what is written, what is kept, and what is not touched."""

from __future__ import annotations

import os
import re

import pytest
import yaml

HAND_WRITTEN = """\
# A comment on top.
prunecal: 1
model: tinynet  # the tiny one
protocol: {name: tiny, fingerprint: FINGERPRINT}
environment: {torch: TORCH, device: cpu, threads: 1, corruptions: generated}

tolerance:
  mpc: {abs: 0.07}   # agreed in spring
cells:
  # the reference
  dense:
    note: as good as it gets
    accuracy: 0.9000
    ece: 0.5

  weight-0.5:
    tolerance:
      ece: {rel: 0.5}
    accuracy: 0.9000
    ece: 0.1000
  channel-0.7:
    note: somebody's favourite
    accuracy: 0.9512
# the end
"""


def cells(text):
    return yaml.safe_load(text)["cells"]


def accuracy_of(cell):
    return cell["accuracy"]["mean"] if isinstance(cell["accuracy"], dict) else cell["accuracy"]


def hand_written(gated):
    """The file above, as if measured here."""
    old = yaml.safe_load(gated.baseline.read_text())
    gated.baseline.with_name(old["images"]["file"]).unlink()
    text = HAND_WRITTEN.replace("FINGERPRINT", str(old["protocol"]["fingerprint"]))
    gated.baseline.write_text(text.replace("TORCH", old["environment"]["torch"]))
    return gated.baseline.read_text()


def test_bare_update_creates_folder_and_file(project):
    outcome = project.gate("--prunecal-update")
    assert (outcome.ret, set(outcome.cells.values())) == (0, {"passed"})
    assert "baselines/tiny/tinynet.yaml: accepted 7 cells; review the diff like code" in outcome.out
    text = project.baseline.read_text()
    assert text.startswith("# Accepted numbers of tinynet under tiny.")
    # Dense, then pruner by pruner, whatever the order in which they were measured.
    assert list(cells(text)) == [
        "dense", "weight-0.3", "weight-0.5", "filter-0.3", "filter-0.5", "channel-0.3", "channel-0.5",
    ]  # fmt: skip
    for cell, metrics in cells(text).items():
        for name, value in metrics.items():
            mean = value if name in ("parameters", "macs", "sparsity") else value["mean"]
            assert mean == round(outcome.numbers[f"prune[{cell}]"][name], 4)
            assert mean is value or value.keys() == {"mean", "se"}
    images = project.baseline.with_name(yaml.safe_load(text)["images"]["file"])
    assert set(project.baseline.parent.iterdir()) == {project.baseline, images}
    assert project.gate().ret == 0


def test_a_second_update_writes_nothing(gated):
    os.utime(gated.baseline, (1, 1))
    text = gated.baseline.read_bytes()
    outcome = gated.gate("--prunecal-update")
    assert outcome.ret == 0
    assert "baselines/tiny/tinynet.yaml: already says all of it" in outcome.out
    assert (gated.baseline.read_bytes(), gated.baseline.stat().st_mtime) == (text, 1)


def test_only_measured_cells_are_touched(gated):
    accepted = cells(gated.baseline.read_text())
    gated.edit("weight-0.5:\n    accuracy: {mean: ", "weight-0.5:\n    accuracy: {mean: 9")
    gated.edit("filter-0.5:\n    accuracy: {mean: ", "filter-0.5:\n    accuracy: {mean: 9")
    text = gated.baseline.read_text()
    outcome = gated.gate("--prunecal-pruners=weight", "--prunecal-update")
    assert outcome.ret == 0
    assert gated.baseline.read_text() == text.replace(
        "weight-0.5:\n    accuracy: {mean: 9", "weight-0.5:\n    accuracy: {mean: "
    )
    assert cells(gated.baseline.read_text())["weight-0.5"] == accepted["weight-0.5"]


def test_a_selection_by_k_updates_what_it_selects(gated):
    text = gated.baseline.read_text()
    gated.baseline.write_text(text.replace("accuracy: {mean: 0", "accuracy: {mean: 9"))
    assert gated.gate("--prunecal-update", "-k", "dense").ret == 0
    new = cells(gated.baseline.read_text())
    assert new["dense"] == cells(text)["dense"]
    assert all(accuracy_of(cell) > 9 for key, cell in new.items() if key != "dense")


def test_comments_notes_and_tolerances_stay(gated):
    before = hand_written(gated)
    # On the device that the file names, or every new cell would name its own.
    on_cpu = ["--prunecal-device=cpu", "--prunecal-ratios=0,0.5", "--prunecal-pruners=weight"]
    outcome = gated.gate("--prunecal-update", *on_cpu)
    assert outcome.ret == 0
    after = gated.baseline.read_text()
    numbers = outcome.numbers
    dense, weight = numbers["prune[dense]"], numbers["prune[weight-0.5]"]
    named = yaml.safe_load(after)
    environment = re.search(r"environment: .*\n", before).group()
    images = f"images: {{file: {named['images']['file']}, sha256: {named['images']['sha256']}}}\n"
    expected = before.replace(environment, environment + images)
    expected = expected.replace(
        "    accuracy: 0.9000\n    ece: 0.5\n",
        "".join(f"    {line}\n" for line in written(dense, named["cells"]["dense"])),
    ).replace(
        "    accuracy: 0.9000\n    ece: 0.1000\n",
        "".join(f"    {line}\n" for line in written(weight, named["cells"]["weight-0.5"])),
    )
    assert after == expected
    assert gated.gate(*on_cpu).ret == 0


def written(metrics, accepted):
    """A cell's lines: its numbers, each with the sampling error that the file gives it."""
    for name, value in metrics.items():
        text = f"{value}" if isinstance(value, int) else f"{value:.4f}"
        sure = isinstance(accepted[name], dict)
        yield f"{name}: {{mean: {text}, se: {accepted[name]['se']}}}" if sure else f"{name}: {text}"


def test_orphans_are_named_and_kept_by_anything_but_a_full_update(gated):
    hand_written(gated)
    named = "accepted cells that nothing registered or configured can make: channel-0.7; "
    assert named in gated.gate("--prunecal-ratios=0").out
    for options in (
        ["--prunecal-update", "--prunecal-ratios=0,0.5"],
        ["--prunecal-update=missing"],
        ["--prunecal-update=failing"],
        ["--prunecal-update", "-k", "not dense"],
        ["--prunecal-update=all", f"{gated.FILE}::prune[dense]"],
    ):
        outcome = gated.gate(*options)
        assert outcome.ret == 0
        assert named in outcome.out
        assert "channel-0.7" in cells(gated.baseline.read_text()), options


def test_a_full_update_removes_orphans_and_says_so(gated):
    hand_written(gated)
    outcome = gated.gate("--prunecal-update")
    assert outcome.ret == 0
    assert "accepted 7 cells, removed channel-0.7; review" in outcome.out
    assert set(cells(gated.baseline.read_text())) == set(gated.CELLS)
    named = f"{gated.FILE}: an update of the whole grid removes channel-0.7, which nothing registered"
    assert outcome.out.index(named) < outcome.out.index("collected 7 items")
    assert "accepted cells that nothing" not in outcome.out
    assert gated.baseline.read_text().startswith("# A comment on top.")


def test_a_full_update_removes_orphans_even_where_no_number_changed(gated):
    text = gated.baseline.read_text()
    gated.baseline.write_text(text + "  weight-0.7:\n    accuracy: 0.5\n")
    assert gated.gate("--prunecal-update").ret == 0
    assert gated.baseline.read_text() == text


def test_update_missing_accepts_only_cells_without_numbers(gated):
    hand_written(gated)
    outcome = gated.gate("--prunecal-update=missing", "--prunecal-pruners=weight")
    # weight-0.3 has no numbers; dense and weight-0.5 got worse, which this update does not accept.
    assert outcome.cells == {"dense": "failed", "weight-0.3": "passed", "weight-0.5": "failed"}
    assert outcome.ret == 1
    new = cells(gated.baseline.read_text())
    assert (new["dense"]["accuracy"], new["weight-0.5"]["accuracy"]) == (0.9, 0.9)
    assert accuracy_of(new["weight-0.3"]) == round(outcome.numbers["prune[weight-0.3]"]["accuracy"], 4)


def test_update_missing_adds_a_new_metric(gated):
    text = gated.baseline.read_text()
    gated.write({"conftest.py": WITH_METRIC})
    assert gated.gate("--prunecal-ratios=0").ret == 1
    outcome = gated.gate("--prunecal-ratios=0", "--prunecal-update=missing")
    assert outcome.ret == 0
    text = re.sub(r"images: .*", re.search("images: .*", gated.baseline.read_text()).group(), text)
    assert gated.baseline.read_text() == text.replace(
        "sparsity: 0.0000\n", "sparsity: 0.0000\n    top2: {mean: 0.5000, se: 0}\n", 1
    )
    assert "1 cell: 1 identical" in gated.gate("--prunecal-ratios=0").out


WITH_METRIC = """\
from pytest_prunecal.study.metric import Metric

def pytest_prunecal_models(config):
    return {"tinynet": "tiny:tiny"}

def pytest_prunecal_metrics(config):
    return {"top2": Metric("top2", higher_is_better=True, function=lambda logits, labels: 0.5)}
"""


def test_update_failing_accepts_failures_and_leaves_the_rest(gated):
    text = gated.baseline.read_text()
    metrics = cells(text)["weight-0.3"]
    gated.edit("dense:\n    accuracy: {mean: ", "dense:\n    accuracy: {mean: 9")
    # Within tolerance: passes, so its number stays.
    gated.edit(
        f"weight-0.3:\n    accuracy: {{mean: {accuracy_of(metrics):.4f}",
        f"weight-0.3:\n    accuracy: {{mean: {accuracy_of(metrics) - 0.01:.4f}",
    )
    outcome = gated.gate("--prunecal-update=failing", "--prunecal-pruners=weight")
    assert (outcome.ret, set(outcome.cells.values())) == (0, {"passed"})
    new = cells(gated.baseline.read_text())
    assert new["dense"] == cells(text)["dense"]
    assert accuracy_of(new["weight-0.3"]) == round(accuracy_of(metrics) - 0.01, 4)


def test_update_all_takes_numbers_within_tolerance_too(gated):
    text = gated.baseline.read_text()
    accuracy = accuracy_of(cells(text)["dense"])
    gated.edit(f"mean: {accuracy:.4f}", f"mean: {accuracy - 0.01:.4f}")
    assert gated.gate("--prunecal-update", "--prunecal-ratios=0").ret == 0
    assert gated.baseline.read_text() == text


BREAKING = """\
import pytest

def pytest_prunecal_models(config):
    return {"tinynet": "tiny:tiny"}

def pytest_runtest_setup(item):
    if item.name == "prune[weight-0.5]":
        %s
"""


@pytest.mark.parametrize(
    ("fault", "options", "ret"),
    [
        ("pytest.fail('broken')", ["-x"], 1),
        ("raise KeyboardInterrupt", [], 2),
        ("pytest.exit('enough')", [], 2),
    ],
)
def test_an_interrupted_update_keeps_finished_cells(gated, fault, options, ret):
    text = gated.baseline.read_text()
    gated.baseline.write_text(
        text.replace("accuracy: {mean: 0", "accuracy: {mean: 9") + "  weight-0.7:\n    accuracy: 0.5\n"
    )
    gated.write({"conftest.py": BREAKING % fault})
    outcome = gated.gate("--prunecal-update", *options)
    assert outcome.ret == ret
    new = cells(gated.baseline.read_text())
    finished = ("dense", "weight-0.3", "channel-0.3")
    assert {cell for cell in gated.CELLS if accuracy_of(new[cell]) < 9} == set(finished)
    assert {cell: new[cell] for cell in finished} == {cell: cells(text)[cell] for cell in finished}
    assert "weight-0.7" in new
    assert "accepted 3 cells;" in outcome.out


def test_edits_made_while_the_run_goes_on_are_kept(gated):
    gated.edit("dense:\n    accuracy: {mean: ", "dense:\n    accuracy: {mean: 9")
    editing = BREAKING.replace("import pytest", "from pathlib import Path").replace("weight-0.5", "dense") % (
        "file = Path('baselines/tiny/tinynet.yaml')\n"
        "        file.write_text(file.read_text().replace('weight-0.3:', 'weight-0.3:\\n    note: edited'))"
    )
    gated.write({"conftest.py": editing})
    assert gated.gate("--prunecal-update", "--prunecal-ratios=0").ret == 0
    new = cells(gated.baseline.read_text())
    assert new["weight-0.3"]["note"] == "edited"
    assert accuracy_of(new["dense"]) < 9


def test_a_file_broken_while_the_run_goes_on_is_left_and_fails_the_run(gated):
    breaking = BREAKING.replace("import pytest", "from pathlib import Path").replace(
        "weight-0.5", "dense"
    ) % ("Path('baselines/tiny/tinynet.yaml').write_text('<<<<<<< HEAD')")
    gated.write({"conftest.py": breaking})
    outcome = gated.gate("--prunecal-update", "--prunecal-ratios=0")
    assert outcome.ret == 1
    assert gated.baseline.read_text() == "<<<<<<< HEAD"
    assert "baselines/tiny/tinynet.yaml:1: this is no baseline file" in outcome.out or (
        "baselines/tiny/tinynet.yaml:1: the document must be a mapping" in outcome.out
    )


@pytest.mark.parametrize("place", ["file/baselines", "/proc/baselines"])
@pytest.mark.parametrize("parallel", [[], ["-n", "2"]], ids=["-n 0", "-n 2"])
def test_an_unwritable_place_is_refused_before_anything_is_measured(project, place, parallel):
    project.write({"file": ""})
    outcome = project.gate("--prunecal-update", f"--prunecal-baselines={place}", *parallel)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = outcome.err.strip().splitlines()
    assert line.startswith(f"ERROR: prunecal: {place}/tiny cannot be written: ")
    assert not (project.path / ".prunecal").exists()


def test_a_folder_where_the_baseline_belongs_is_refused_before_anything_is_measured(project):
    project.baseline.mkdir(parents=True)
    outcome = project.gate("--prunecal-update")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = outcome.err.strip().splitlines()
    assert line.startswith("ERROR: prunecal: baselines/tiny/tinynet.yaml")
    assert not (project.path / ".prunecal").exists()


def test_an_update_replaces_a_file_of_another_version_of_the_protocol(gated):
    gated.edit("ratios:", "seed: 7\nratios:", "tiny.yaml")
    assert gated.gate().ret == pytest.ExitCode.USAGE_ERROR
    outcome = gated.gate("--prunecal-update")
    assert outcome.ret == 0
    assert "accepted 7 cells" in outcome.out
    assert gated.gate().ret == 0


def test_line_ends_of_the_file_are_kept(gated):
    data = gated.baseline.read_bytes().replace(b"\n", b"\r\n")
    gated.baseline.write_bytes(
        data.replace(b"dense:\r\n    accuracy: {mean: ", b"dense:\r\n    accuracy: {mean: 9")
    )
    assert gated.gate("--prunecal-update", "--prunecal-ratios=0").ret == 0
    assert gated.baseline.read_bytes() == data
