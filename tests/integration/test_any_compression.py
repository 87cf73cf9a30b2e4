"""Pruners that take no ratio, levels, schedules of one's own: what a user sees of their cells."""

from __future__ import annotations

import json
import shlex

import pytest
import yaml

OWN = '''\
import copy

import torch

from pytest_prunecal import Pruned, Pruner

SHARE = {"soft": 0.2, "hard": 0.6}


def rows(model, share):
    """Masks that drop the first rows of a conv's weight."""
    mask = torch.ones_like(model.conv2.weight, dtype=torch.bool)
    mask[: int(len(mask) * share)] = False
    return {"conv2.weight": mask}


def by_level(model, level, generator):
    pruned = copy.deepcopy(model)
    masks = rows(pruned, SHARE[level])
    noise = torch.rand(pruned.conv1.weight.shape, generator=generator)
    pruned.conv1.weight.data += 1e-3 * noise.to(pruned.conv1.weight)
    pruned.conv2.weight.data *= masks["conv2.weight"]
    return Pruned(pruned, masks)


def bare(model):
    return Pruned(copy.deepcopy(model))


def calibrated(model, batches):
    """Running statistics from training images, and nothing trained."""
    pruned = copy.deepcopy(model).train()
    with torch.no_grad():
        for images, _ in batches:
            pruned(images)
    return Pruned(pruned)


def stepwise(model, ratio, fine_tune):
    pruned = copy.deepcopy(model)
    for part in (0.5, 1):
        masks = rows(pruned, ratio * part)
        fine_tune(pruned, epochs=1, masks=masks, teacher=model)
    return Pruned(pruned, masks)


def cheating(model, fine_tune):
    pruned = copy.deepcopy(model)
    fine_tune(pruned, epochs=1)
    return Pruned(pruned)
'''
CONFTEST = """\
from pytest_prunecal import Pruner


def pytest_prunecal_models():
    return {"tinynet": "tiny:tiny"}


def pytest_prunecal_pruners():
    return {
        "mine": Pruner("own:by_level", levels=("soft", "hard")),
        "bare": Pruner("own:bare", levels=()),
        "calibrated": Pruner("own:calibrated", levels=(), tunes=False),
        "stepwise": Pruner("own:stepwise"),
        "cheating": Pruner("own:cheating", levels=(), tunes=False),
        "null": Pruner("own:bare", levels=()),
    }
"""
PRUNERS = "pruners: [weight, 2:4, mine, bare, calibrated, stepwise, gradual]"
CELLS = [
    *("dense", "weight-0.3", "2:4", "mine-hard", "mine-soft", "bare", "calibrated"),
    *("stepwise-0.3", "gradual-0.3"),
]


@pytest.fixture
def own(project):
    """A project whose grid has cells of every kind."""
    project.write({"own.py": OWN, "conftest.py": CONFTEST})
    project.edit("ratios: [0, 0.3, 0.5]", "ratios: [0, 0.3]", "tiny.yaml")
    project.edit("pruners: [weight, filter, channel]", PRUNERS, "tiny.yaml")
    return project


def test_cells_without_a_ratio_from_the_grid_to_the_reports(own):
    first = own.gate("--prunecal-update")
    assert first.ret == 0, first.text
    assert sorted(first.cells) == sorted(CELLS)
    # What a person's own YAML tools read is what stands there; a bare 2:4 would be 124.
    assert "\n  '2:4':\n" in own.baseline.read_text()
    assert [*yaml.safe_load(own.baseline.read_text())["cells"]] == CELLS

    again = own.gate("--prunecal-report=out.html", "--prunecal-json=out.json", "--junit-xml=junit.xml")
    assert (again.ret, {*again.cells.values()}) == (0, {"passed"}), again.text
    assert again.numbers == first.numbers
    report = json.loads((own.path / "out.json").read_text())
    cells = {
        cell["id"]: (cell["pruner"], cell["ratio"], cell["level"]) for cell in report["models"][0]["cells"]
    }
    assert cells["2:4"] == ("2:4", 0, "")
    assert cells["mine-hard"] == ("mine", 0, "hard")
    assert cells["stepwise-0.3"] == ("stepwise", 0.3, "")
    page = (own.path / "out.html").read_text()
    assert "Without a ratio, and so in no figure: 2:4, mine-hard, mine-soft, bare, calibrated." in page
    assert 'name="prune[2:4]"' in (own.path / "junit.xml").read_text()
    assert "2:4 leaves conv1.weight unpruned (216 values)" in page

    numbers = first.numbers
    # The second conv and the head have input dimensions that are multiples of four.
    assert numbers["prune[2:4]"]["sparsity"] == pytest.approx((864 + 120) / 2 / (216 + 864 + 120))
    assert numbers["prune[mine-hard]"]["sparsity"] == pytest.approx(7 * 72 / 1200)
    assert numbers["prune[gradual-0.3]"]["sparsity"] == pytest.approx((64 + 259 + 36) / 1200)
    for pruner, wanted in (("2:4", ["2:4"]), ("mine", ["mine-soft", "mine-hard"]), ("bare", ["bare"])):
        narrowed = own.gate(f"--prunecal-pruners={pruner}")
        assert [one for one in narrowed.cells if one != "dense"] == wanted
        assert narrowed.ret == 0
    assert [*own.gate("-k", "2:4").cells] == ["2:4"]
    assert [*own.run("baselines/tiny/tinynet.yaml::prune[2:4]").cells] == ["2:4"]
    assert [*own.gate("--deselect", "baselines/tiny/tinynet.yaml::prune[2:4]", "-k", "2:4").cells] == []


def test_the_command_that_a_failing_cell_prints_accepts_it(own):
    assert own.gate("--prunecal-pruners=2:4,mine", "--prunecal-update").ret == 0
    text = own.baseline.read_text()
    for cell in ("'2:4'", "mine-hard"):
        block = text.partition(f"  {cell}:\n")[2].partition("accuracy: {mean: ")
        old = block[2].partition(",")[0]
        head, found, rest = text.partition(f"  {cell}:\n")
        text = head + found + rest.replace(f"accuracy: {{mean: {old}", "accuracy: {mean: 9.5", 1)
    own.baseline.write_text(text)
    failed = own.gate("--prunecal-pruners=2:4,mine")
    assert failed.ret == 1
    assert [cell for cell, outcome in failed.cells.items() if outcome == "failed"] == ["2:4", "mine-hard"]
    commands = {line.strip() for line in failed.out.splitlines() if line.endswith("--prunecal-update")}
    assert len(commands) == 2
    for command in commands:
        done = own.run(*shlex.split(command)[1:])
        assert (done.ret, len(done.cells)) == (0, 1), done.text
    assert own.gate("--prunecal-pruners=2:4,mine").ret == 0


def test_an_orphan_goes_and_the_other_levels_stay(own):
    assert own.gate("--prunecal-pruners=mine,2:4", "--prunecal-update").ret == 0
    own.edit('levels=("soft", "hard")', 'levels=("soft",)', "conftest.py")
    own.edit(PRUNERS, "pruners: [mine, 2:4]", "tiny.yaml")
    orphaned = own.gate()
    assert "mine-hard" in orphaned.out
    assert own.gate("--prunecal-update").ret == 0
    assert [*yaml.safe_load(own.baseline.read_text())["cells"]] == ["dense", "2:4", "mine-soft"]


def test_the_same_bits_in_whichever_worker_and_order(own):
    own.allow_noise()
    pruners = "--prunecal-pruners=mine,stepwise,gradual,2:4,calibrated"
    alone = own.gate(pruners, "--prunecal-update", "--prunecal-seeds=2")
    assert alone.ret == 0, alone.text
    spread = own.gate(pruners, "--prunecal-update", "--prunecal-seeds=2", "-n2", "--prunecal-store=other")
    assert spread.ret == 0, spread.text
    one = own.gate(
        "--prunecal-pruners=stepwise",
        "--prunecal-ratios=0.3",
        "--prunecal-update",
        "--prunecal-seeds=2",
        "--prunecal-store=third",
    )
    assert alone.numbers == spread.numbers
    assert one.numbers["prune[stepwise-0.3]"] == alone.numbers["prune[stepwise-0.3]"]
    for cell, found in alone.watcher.measured.items():
        assert found["trace"] == spread.watcher.measured[cell]["trace"]


def test_a_pruner_that_says_it_does_not_train_and_does(own):
    failed = own.gate("--prunecal-pruners=cheating", "--prunecal-update")
    assert failed.message("cheating") == (
        "pruner 'cheating' calls fine_tune, and its row says tunes=False, that its networks are not trained; "
        "take tunes=False away"
    )


def test_a_name_that_yaml_would_read_as_something_else(own):
    assert own.gate("--prunecal-pruners=null", "--prunecal-update").ret == 0
    assert "\n  'null':\n" in own.baseline.read_text()
    assert own.gate("--prunecal-pruners=null").ret == 0
    assert own.gate("--prunecal-pruners=null", "--prunecal-update").ret == 0


def test_the_fixture_measures_levels_and_pruners_that_take_nothing(own):
    own.write(
        {
            "test_own.py": """\
import pytest
from pytest_prunecal import PrunecalError


def test_them(prunecal):
    assert prunecal.measure("tinynet", "2:4")["sparsity"] > 0.4
    hard, soft = (prunecal.measure("tinynet", "mine", level=level) for level in ("hard", "soft"))
    assert hard["sparsity"] > soft["sparsity"]


@pytest.mark.parametrize(
    ("arguments", "level", "message"),
    [
        (("tinynet", "mine"), "", "pruner 'mine' takes one of its levels, soft, hard, and not ''"),
        (("tinynet", "mine"), "firm", "pruner 'mine' takes one of its levels, soft, hard, and not 'firm'"),
        (("tinynet", "2:4", 0.3), "", "pruner '2:4' takes no ratio, such as 0.3"),
        (("tinynet", "2:4"), "hard", "pruner '2:4' takes no level, and not 'hard'"),
        (("tinynet", "weight", 0.3), "hard", "pruner 'weight' takes a ratio and no level, such as 'hard'"),
        (("tinynet",), "hard", "level 'hard' of 'tinynet' needs a pruner"),
    ],
)
def test_others(prunecal, arguments, level, message):
    with pytest.raises(PrunecalError) as error:
        prunecal.measure(*arguments, level=level)
    assert str(error.value) == message
"""
        }
    )
    outcome = own.run("test_own.py")
    assert outcome.ret == 0, outcome.text
