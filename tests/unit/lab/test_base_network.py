"""Base networks: trained once and read back, or a checkpoint of the user's."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file, save_model
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.base_network import BaseNetwork
from pytest_prunecal.lab.bench import Bench
from pytest_prunecal.lab.engines import Setup
from pytest_prunecal.lab.measure import measure_once
from pytest_prunecal.lab.over_seeds import combine
from pytest_prunecal.lab.training.trainer import Trainer
from pytest_prunecal.store.store import Store
from pytest_prunecal.study import protocol_file
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.extensions import Extensions
from pytest_prunecal.study.given_base import GivenBase

DENSE = Cell("resnet20", None, 0.0)


def measure(cell, bench):
    return combine([measure_once(cell, bench)], bench.metrics)


@pytest.fixture
def bench(tmp_path) -> Bench:
    quick = protocol_file.load("quick", Path())
    tiny = replace(
        quick,
        dataset={"name": "digits", "size": 8, "train": 64, "test": 30},
        base=replace(quick.base, epochs=1, warmup=0),
        finetune=replace(quick.finetune, epochs=1),
        evaluation=replace(quick.evaluation, corruptions=("contrast",)),
    )
    setup = Setup(tiny, str(tmp_path / "store"), "cpu", None, Extensions())
    return Bench(setup, Store(setup.store), torch.device("cpu"))


def changed(bench: Bench, **setup) -> Bench:
    return replace(bench, setup=replace(bench.setup, **setup))


def base_network(bench: Bench, *, slimming: bool) -> nn.Module:
    return BaseNetwork("resnet20", bench, slimming=slimming).network()


@pytest.fixture
def checkpoint(bench, tmp_path) -> Path:
    """A network that no training of this bench could give: every BN scale is 0.7."""
    state = bench.build("resnet20").state_dict()
    for name, tensor in state.items():
        if name.endswith("bn1.weight"):
            tensor.fill_(0.7)
    path = tmp_path / "mine.safetensors"
    save_file({name: tensor for name, tensor in state.items() if "num_batches_tracked" not in name}, path)
    return path


def using(bench: Bench, checkpoint: Path) -> Bench:
    given = GivenBase(checkpoint)
    return changed(bench, bases={("resnet20", "plain"): given, ("resnet20", "slimmed"): given})


def test_a_base_is_trained_once_and_read_back(bench, monkeypatch):
    first = base_network(bench, slimming=False).state_dict()
    monkeypatch.setattr(Trainer, "train", lambda *_: pytest.fail("trained again"))
    again = base_network(bench, slimming=False).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"width": {"default": 0.125}},
        {"pad": 0},
        {"mean": (0.0, 0.0, 0.0)},
        {"dataset": {"name": "digits", "size": 8, "train": 65, "test": 30}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_shapes_a_base_trains_another_one(bench, change):
    base_network(bench, slimming=False)
    base_network(changed(bench, protocol=replace(bench.protocol, **change)), slimming=False)
    assert len(list((bench.store.root / "base").glob("*.safetensors"))) == 2


def test_all_seeds_share_a_base_that_is_pinned(bench):
    def places(on):
        return {BaseNetwork("resnet20", one, slimming=False).place for one in on.over_seeds(3)}

    pinned = changed(bench, pin=True)
    assert len(places(pinned)) == 1
    assert places(pinned) < places(bench)
    assert [one.protocol.seed for one in pinned.over_seeds(3)] == [1, 2, 3]


def test_training_a_base_leaves_the_process_as_it_was(bench):
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    bench.trainer.train_base("resnet20", bench.builder_of("resnet20"), 1, slimming=True)
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))
    assert torch.get_num_threads() == threads


class Forgetful(nn.Sequential):
    """Draws random numbers of its own whenever it is trained."""

    def __init__(self, num_classes: int) -> None:
        head = nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 36, num_classes)
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), *head)


def test_who_trained_the_base_makes_no_difference_to_a_networks_own_draws(bench):
    forgetful = changed(bench, extensions=Extensions(models={"forgetful": Forgetful}))
    cell = Cell("forgetful", "weight", 0.5)
    first, again = measure(cell, forgetful), measure(cell, forgetful)
    assert first.metrics == again.metrics


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_a_networks_own_draws_are_the_same_warm_and_fresh(bench):
    device = torch.device("cuda", 0)
    torch.cuda.manual_seed_all(3)
    expected = torch.rand(3, device=device)
    torch.cuda.manual_seed_all(3)
    on_cuda = replace(changed(bench, extensions=Extensions(models={"forgetful": Forgetful})), device=device)
    cells = [Cell("forgetful", None, 0.0), Cell("forgetful", "weight", 0.5)]
    cold = [measure(cell, on_cuda).metrics for cell in cells]
    warm = [measure(cell, replace(on_cuda, base_results={})).metrics for cell in reversed(cells)]
    assert warm[::-1] == cold
    fresh = replace(changed(on_cuda, fresh=True), base_results={})
    assert [measure(cell, fresh).metrics for cell in cells] == cold
    assert torch.equal(torch.rand(3, device=device), expected)


class Tied(nn.Sequential):
    """Two layers of one weight."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(
            nn.Flatten(), nn.Linear(192, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, num_classes)
        )
        self[3].weight = self[2].weight


def test_a_checkpoint_of_a_network_with_tied_weights(bench, tmp_path):
    tied = changed(bench, extensions=Extensions(models={"tied": Tied}))
    network = tied.build("tied")
    save_model(network, str(tmp_path / "tied.safetensors"))
    given = GivenBase(tmp_path / "tied.safetensors")
    read = BaseNetwork("tied", changed(tied, bases={("tied", "plain"): given}), slimming=False).network()
    assert read[3].weight is read[2].weight
    assert torch.equal(read[3].weight, network[2].weight)


def test_an_evaluation_is_made_once_and_anew_where_that_is_asked_for(bench, monkeypatch):
    evaluated, asked = Bench.evaluate, []
    monkeypatch.setattr(
        Bench, "evaluate", lambda *args, **named: asked.append(1) or evaluated(*args, **named)
    )

    def on(one):
        return BaseNetwork("resnet20", one, slimming=False).evaluated()

    first = on(bench)
    assert on(bench) is first
    assert on(replace(bench, base_results={})).metrics == first.metrics
    assert len(asked) == 1
    fresh = replace(changed(bench, fresh=True), base_results={})
    assert on(fresh) is on(fresh)
    assert on(fresh).metrics == first.metrics
    assert len(asked) == 2


def test_the_sparsity_trained_base_is_another_one(bench):
    plain = base_network(bench, slimming=False)
    slim = base_network(bench, slimming=True)
    assert len(list((bench.store.root / "base").glob("*.safetensors"))) == 2
    assert plain.bn1.weight.mean() > slim.bn1.weight.mean()  # which began at 0.5


def test_a_checkpoint_replaces_base_training(bench, checkpoint):
    with_mine = using(bench, checkpoint)
    for slimming in (False, True):
        state = base_network(with_mine, slimming=slimming).state_dict()
        assert all(torch.equal(tensor, state[name]) for name, tensor in load_file(checkpoint).items())
    assert not (bench.store.root / "base").exists()


def test_a_measurement_names_its_checkpoint(bench, checkpoint):
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert measure(DENSE, using(bench, checkpoint)).provenance["base"] == sha256[:12]
    assert "base" not in measure(DENSE, bench).provenance


def test_all_pruners_start_from_the_checkpoint(bench, checkpoint):
    for pruner in ("weight", "filter", "channel"):
        measured = measure(Cell("resnet20", pruner, 0.5), using(bench, checkpoint))
        assert measured["sparsity"] > 0.2
    assert not (bench.store.root / "base").exists()


def refusal(bench: Bench, path: Path) -> str:
    with pytest.raises(PrunecalError) as caught:
        base_network(using(bench, path), slimming=False)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def test_missing_weights_are_named(bench, checkpoint):
    state = load_file(checkpoint)
    del state["linear.bias"], state["conv1.weight"]
    save_file(state, checkpoint)
    assert "lacks conv1.weight and 1 more" in refusal(bench, checkpoint)


def test_unknown_weights_are_named(bench, checkpoint):
    save_file(load_file(checkpoint) | {"head.weight": torch.zeros(1)}, checkpoint)
    assert "unknown head.weight" in refusal(bench, checkpoint)


def test_another_shape_is_named_with_both_shapes(bench, checkpoint):
    save_file(load_file(checkpoint) | {"linear.bias": torch.zeros(100)}, checkpoint)
    text = refusal(bench, checkpoint)
    assert "linear.bias" in text
    assert "(100,)" in text
    assert "(10,)" in text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", ": is empty; name a safetensors file"),
        (b"garbage", ": is no readable safetensors file"),
        (b"\x80\x04\x95pickle", ": is a pickle, which can run code when it is loaded"),
    ],
)
def test_anything_but_safetensors_is_refused(bench, tmp_path, content, says):
    path = tmp_path / "network.safetensors"
    path.write_bytes(content)
    assert says in refusal(bench, path)


def test_a_truncated_checkpoint_is_refused(bench, checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    assert "no readable safetensors file" in refusal(bench, checkpoint)


def test_weights_that_are_not_finite_are_refused(bench, checkpoint):
    state = load_file(checkpoint)
    state["conv1.weight"][0] = float("nan")
    save_file(state, checkpoint)
    assert "conv1.weight holds NaN or infinite values" in refusal(bench, checkpoint)


def test_a_pinned_base_is_taken_only_if_it_is_the_very_file(bench, checkpoint):
    right = GivenBase(checkpoint, hashlib.sha256(checkpoint.read_bytes()).hexdigest())
    pinned = changed(bench, bases={("resnet20", "plain"): right})
    assert measure(DENSE, pinned).provenance["base"] == "pinned"
    wrong = changed(bench, bases={("resnet20", "plain"): replace(right, sha256="0" * 64)})
    with pytest.raises(PrunecalError, match="its sha256 differs"):
        base_network(wrong, slimming=False)


def test_a_pruners_warnings_belong_to_the_measurement(bench):
    measured = measure(Cell("resnet20", "filter", 0.9), bench)
    assert any("layer1.0.conv1" in warning for warning in measured.warnings)
    (only,) = measure(DENSE, bench).warnings
    assert "it seems to have learned nothing" in only  # which is true of one epoch


def test_other_warnings_go_on_to_pytest(bench):
    def loud(num_classes):
        warnings.warn("a user's own", UserWarning, stacklevel=1)
        return nn.Sequential(nn.Conv2d(3, num_classes, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten())

    with_loud = changed(bench, extensions=Extensions(models={"loud": loud}))
    with pytest.warns(UserWarning, match="a user's own"):
        measured = measure(Cell("loud", None, 0.0), with_loud)
    (only,) = measured.warnings
    assert "it seems to have learned nothing" in only
