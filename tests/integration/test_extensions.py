"""What a conftest.py brings in, and what happens to the cells of what does not work."""

from __future__ import annotations

import pytest

OWN = '''\
import numpy as np
import torch
from tiny import Tiny
from torch import nn

from pytest_prunecal.lab.datasets.arrayio import to_images, to_labels
from pytest_prunecal.lab.datasets.base import Dataset
from pytest_prunecal import Pruned, Pruner


def raising(num_classes):
    raise RuntimeError("no network today")


def wrong():
    return 3


def demanding(depth):
    return None


class Groupless(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, num_classes)

    def forward(self, images):
        return self.head(self.conv(images).mean((2, 3)))


class Hollow(Groupless):
    def forward(self, images):
        return super().forward(images) * float("nan")


def prune_nothing(model, ratio):
    return Pruned(model)


idle = Pruner(prune=prune_nothing)
no_pruner = 3
uncallable = Pruner(prune=3)
demanding_pruner = Pruner(prune=lambda model: Pruned(model))
bare = Pruner(prune=lambda model, ratio: model)
hollow = Pruner(prune=lambda model, ratio: Pruned(None))
listing = Pruner(prune=lambda model, ratio: Pruned(model, ["conv1.weight"]))
masking_nothing = Pruner(prune=lambda model, ratio: Pruned(model, {"conv9.weight": torch.ones(3)}))
masking_wrongly = Pruner(prune=lambda model, ratio: Pruned(model, {"conv1.weight": model.conv1.weight}))
beheading = Pruner(prune=lambda model, ratio: Pruned(nn.Sequential(model.conv1, model.bn1)))


def raise_in_prune(model, ratio):
    return model.conv9


raising_pruner = Pruner(prune=raise_in_prune)


def halves(root, *, size=8):
    """Images whose upper or lower half is bright."""
    labels = np.arange(60) % 2
    images = np.zeros((60, size, size, 3), np.uint8)
    images[labels == 0, : size // 2] = 200
    images[labels == 1, size // 2 :] = 200
    images += (np.arange(60, dtype=np.uint8) % 50)[:, None, None, None]
    parts = [to_images(images), to_labels(labels)]
    return Dataset("halves", *parts, *parts, classes=2)


def first_logit(logits, labels):
    assert (logits.shape, logits.dtype) == ((60, 10), torch.float32)
    assert (labels.shape, labels.dtype) == ((60,), torch.int64)
    return logits[0, 0].double()


def not_a_number(logits, labels):
    return float("nan")


def demanding_metric(logits, labels, threshold):
    return 0.0


def demanding_of_network(network, images):
    return 0.0


def missing_metric(logits, labels):
    return logits.no_such_thing
'''
HOOKS = """\
from pytest_prunecal.study.metric import Metric


def pytest_prunecal_models(config):
    return {"tinynet": "tiny:tiny"%s}


def pytest_prunecal_pruners(config):
    return {%s}


def pytest_prunecal_datasets(config):
    return {%s}


def pytest_prunecal_metrics(config):
    return {%s}
"""


def extend(project, *, models="", pruners="", datasets="", metrics=""):
    project.write({"own.py": OWN, "conftest.py": HOOKS % (models, pruners, datasets, metrics)})


def test_a_pruner_of_ones_own(project):
    extend(project, pruners='"idle": "own:idle"')
    project.edit("pruners: [weight, filter, channel]", "pruners: [weight, idle]", "tiny.yaml")
    outcome = project.gate("--prunecal-update")
    assert outcome.ret == 0
    assert list(outcome.cells) == ["dense", "weight-0.3", "idle-0.3", "weight-0.5", "idle-0.5"]
    numbers = outcome.numbers
    assert numbers["prune[idle-0.5]"]["parameters"] == numbers["prune[dense]"]["parameters"]
    assert numbers["prune[idle-0.5]"]["sparsity"] == 0
    assert project.gate().ret == 0


def test_pruners_beyond_the_protocols_come_in_one_order(project):
    # Every worker must collect the same, whatever its hash seed.
    names = ["d", "b", "e", "a", "c"]
    extend(project, pruners=", ".join(f'"{name}": "own:idle"' for name in names))
    for asked in (names, names[::-1]):
        pruners = f"--prunecal-pruners=filter,{','.join(asked)}"
        outcome = project.gate("--collect-only", pruners, "--prunecal-ratios=0.5", "--prunecal-update")
        found = [name.partition("[")[2] for name in outcome.watcher.collected]
        assert found == [f"{name}-0.5]" for name in ("filter", "a", "e", "b", "c", "d")]  # the last one third
        assert not (project.path / "baselines").exists()  # nothing was accepted


def test_a_model_by_its_path(project):
    outcome = project.run("--prunecal-models=tiny:tiny", "--prunecal-ratios=0", "--prunecal-update")
    assert (outcome.ret, outcome.cells) == (0, {"dense": "passed"})
    file = project.path / "baselines/tiny/tiny.tiny.yaml"
    assert "model: 'tiny:tiny'\n" in file.read_text()
    # Without a word on models, the file says which.
    again = project.run("baselines/tiny", "--prunecal-ratios=0")
    assert (again.ret, again.cells) == (0, {"dense": "passed"})


def test_a_model_as_a_callable(project):
    extend(project, models=', "here": __import__("tiny").tiny')
    outcome = project.run("--prunecal-models=here", "--prunecal-ratios=0", "--prunecal-update")
    assert (outcome.ret, outcome.cells) == (0, {"dense": "passed"})


def test_a_data_set_of_ones_own(project):
    extend(project, datasets='"halves": "own:halves"')
    project.edit("{name: digits, size: 8, train: 150, test: 60}", "{name: halves, size: 8}", "tiny.yaml")
    outcome = project.gate("--prunecal-ratios=0", "--prunecal-update")
    assert outcome.ret == 0
    assert outcome.numbers["prune[dense]"]["parameters"] == 1250 - 8 * 13  # two classes instead of ten


def test_an_option_that_the_data_set_does_not_have(project):
    project.edit("size: 8,", "colour: 8,", "tiny.yaml")
    outcome = project.gate("--prunecal-ratios=0", "--prunecal-update")
    assert (outcome.ret, outcome.cells) == (1, {"dense": "failed"})
    assert outcome.message("dense") == "data set 'digits': unknown option colour; valid: size, train, test"


def test_a_metric_of_ones_own_is_gated(gated):
    metric = (
        '"first": Metric("first", higher_is_better=True, title="first logit", function="own:first_logit")'
    )
    extend(gated, metrics=metric)
    assert (
        gated.gate("--prunecal-ratios=0").message("dense").splitlines()[0] == "first has no accepted number"
    )
    assert gated.gate("--prunecal-ratios=0", "--prunecal-update").ret == 0
    outcome = gated.gate("--prunecal-ratios=0")
    assert outcome.ret == 0
    value = outcome.numbers["prune[dense]"]["first"]
    assert type(value) is float
    assert f"    first: {{mean: {value:.4f}, se: 0." in gated.baseline.read_text()
    gated.edit(f"first: {{mean: {value:.4f}", f"first: {{mean: {value + 1:.4f}")
    failed = gated.gate("--prunecal-ratios=0").message("dense").splitlines()[0]
    assert failed == f"regression: first {value + 1:.4f} -> {value:.4f}"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ('"own:raising"', "RuntimeError: no network today"),
        ('"own:wrong"', "model 'bad': its builder returned a int, no nn.Module"),
        (
            '"own:demanding"',
            "model 'bad': its builder is given num_classes, width: missing a required argument: 'depth'",
        ),
        ('"own:nothing"', "model 'bad': module 'own' has no 'nothing'"),
        ('"nowhere:net"', "model 'bad': module 'nowhere' cannot be imported: No module named 'nowhere'"),
    ],
)
def test_a_model_that_does_not_work_fails_its_own_cells_only(gated, model, message):
    extend(gated, models=f', "bad": {model}')
    outcome = gated.run("--prunecal-models=bad,tinynet", "--prunecal-ratios=0")
    assert outcome.ret == 1
    assert list(outcome.watcher.outcomes.values()) == ["failed", "passed"]
    text = outcome.message("dense")
    assert message in text
    # No frame of ours around the user's own.
    assert "pytest_prunecal/" not in text
    assert "site-packages" not in text
    assert len(text.splitlines()) < 8
    assert any(
        line.startswith("dense ") and line.endswith(f"error: {message}") for line in outcome.out.splitlines()
    )
    assert "2 cells: 1 identical, 1 error" in outcome.out


def test_channels_of_a_network_that_says_nothing_of_them_are_found(gated):
    extend(gated, models=', "groupless": "own:Groupless"')
    outcome = gated.run("--prunecal-models=groupless", "--prunecal-ratios=0.5", "--prunecal-update")
    assert outcome.ret == 1
    assert outcome.cells == {"weight-0.5": "passed", "filter-0.5": "passed", "channel-0.5": "failed"}
    assert outcome.message("channel-0.5").startswith(
        "channel pruning of Groupless: it ranks the scales of batch norms, and this network has none; "
    )
    assert "\n" not in outcome.message("channel-0.5")
    assert "accepted 2 cells;" in outcome.out


def test_a_network_that_computes_nan(gated):
    extend(gated, models=', "hollow": "own:Hollow"')
    outcome = gated.run("--prunecal-models=hollow", "--prunecal-pruners=weight", "--prunecal-update")
    assert outcome.ret == 1
    assert outcome.cells == {"dense": "failed", "weight-0.3": "failed", "weight-0.5": "failed"}
    for cell in outcome.cells:
        assert "nan" in outcome.message(cell).lower()
        assert len(outcome.message(cell).splitlines()) == 1
    assert not (gated.path / "baselines/tiny/hollow.yaml").exists()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("not_a_number", "metric bad is nan; a measurement must be finite"),
        ("missing_metric", "AttributeError: 'Tensor' object has no attribute 'no_such_thing'"),
        ("nothing", "metric 'bad': module 'own' has no 'nothing'"),
        (
            "demanding_metric",
            "logits and labels, and those of bins that it names: missing a required argument: 'threshold'",
        ),
        ("no_pruner", "metric 'bad': its function is a int; it must be a callable"),
    ],
)
def test_a_metric_that_does_not_work(gated, function, message):
    extend(gated, metrics=f'"bad": Metric("bad", higher_is_better=True, function="own:{function}")')
    text = gated.baseline.read_text()
    outcome = gated.gate("--prunecal-ratios=0", "--prunecal-update")
    assert (outcome.ret, outcome.cells) == (1, {"dense": "failed"})
    assert message in outcome.message("dense")
    assert gated.baseline.read_text() == text


def test_a_pruner_that_is_none(gated):
    extend(gated, pruners='"bad": "own:no_pruner"')
    outcome = gated.gate("--prunecal-ratios=0.5", "--prunecal-pruners=bad", "--prunecal-update")
    assert outcome.message("bad-0.5") == "pruner 'bad' is a int; it must be a Pruner instance"


def test_a_metric_of_the_network_that_asks_for_what_it_is_not_given(gated):
    row = 'Metric("bad", higher_is_better=True, where="network", function="own:demanding_of_network")'
    extend(gated, metrics=f'"bad": {row}')
    outcome = gated.gate("--prunecal-ratios=0", "--prunecal-update", "--prunecal-store=empty")
    assert outcome.message("dense") == (
        "metric 'bad': its function is given the network, and those of input_shape, dense_weights that it "
        "names: missing a required argument: 'images'"
    )
    assert not (gated.path / "empty/base").exists()  # told before anything is trained


@pytest.mark.parametrize(
    ("pruner", "message"),
    [
        ("uncallable", "pruner 'bad': its function is called with a network and a ratio: it is a int"),
        (
            "demanding_pruner",
            (
                "pruner 'bad': its function is called with a network and a ratio, and those of batches, "
                "example, classes, device, recipe, generator, fine_tune that it names: too many "
                "positional arguments"
            ),
        ),
        ("bare", "pruner 'bad' returned a Tiny; wanted pytest_prunecal.Pruned"),
        ("hollow", "pruner 'bad' returned Pruned with a NoneType; wanted an nn.Module"),
        ("listing", "pruner 'bad': its masks are a list; wanted a dict"),
        ("masking_nothing", "pruner 'bad' masks 'conv9.weight', and the network has no such parameter"),
        (
            "masking_wrongly",
            "pruner 'bad': its mask of conv1.weight must be a bool tensor of shape (8, 3, 3, 3)",
        ),
        (
            "beheading",
            "wanted logits, float (2, 10), of 2 images, got float32 (2, 8, 8, 8) when evaluated",
        ),
    ],
)
def test_a_pruner_that_gives_nonsense(gated, pruner, message):
    extend(gated, pruners=f'"bad": "own:{pruner}"')
    outcome = gated.gate("--prunecal-ratios=0.5", "--prunecal-pruners=bad", "--prunecal-update")
    text = outcome.message("bad-0.5").removeprefix("'tinynet' as pruner 'bad' left it: ")
    assert (outcome.ret, text) == (1, message)


def test_a_pruner_that_raises_shows_its_own_lines_and_none_of_ours_or_torchs(gated):
    extend(gated, pruners='"bad": "own:raising_pruner"')
    outcome = gated.gate("--prunecal-ratios=0.5", "--prunecal-pruners=bad", "--prunecal-update")
    text = outcome.message("bad-0.5")
    assert "AttributeError: 'Tiny' object has no attribute 'conv9'" in text
    assert "return model.conv9" in text
    assert "pytest_prunecal/" not in text
    assert "site-packages" not in text
    assert len(text.splitlines()) < 8


def test_a_device_that_is_not_there(gated):
    outcome = gated.gate("--prunecal-ratios=0", "--prunecal-device=cuda:63")
    assert (outcome.ret, outcome.cells) == (4, {})
    assert outcome.err.startswith("ERROR: prunecal: --prunecal-device=cuda:63: this machine has ")


def test_a_device_of_which_only_torch_can_tell_that_it_is_not_there(gated, monkeypatch):
    monkeypatch.setattr("pytest_prunecal.store.environment.cuda_devices", lambda: None)
    outcome = gated.gate("--prunecal-ratios=0", "--prunecal-device=cuda:63")
    assert (outcome.ret, outcome.cells) == (1, {"dense": "failed"})
    assert outcome.message("dense").startswith("--prunecal-device=cuda:63: this machine has ")
    assert "\n" not in outcome.message("dense").strip()


def test_a_store_that_cannot_be_written(gated):
    outcome = gated.gate("--prunecal-ratios=0", "--prunecal-store=tiny.py/store")
    assert (outcome.ret, outcome.cells) == (4, {})
    assert outcome.err.strip().endswith("give another with --prunecal-store")
