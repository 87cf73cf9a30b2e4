"""A pruner's context: what is offered, and `fine_tune` against loops written out."""

import copy
import random
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab import measure
from pytest_prunecal.lab.bench import Bench
from pytest_prunecal.lab.engines import Setup
from pytest_prunecal.lab.jitter import jitter
from pytest_prunecal.lab.measure import measure_once, pruned_of
from pytest_prunecal.lab.pruners.base import Pruned
from pytest_prunecal.lab.randomness import generator_of
from pytest_prunecal.lab.reproducible import reproducible
from pytest_prunecal.lab.training.loop import Pressure, learning_rate
from pytest_prunecal.store.store import Store
from pytest_prunecal.study import protocol_file
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.extensions import Extensions
from pytest_prunecal.study.pruner import Pruner
from pytest_prunecal.study.stored_trace import trace_of as read
from pytest_prunecal.study.trace import STAGES, STEPS

CELL = Cell("resnet20", "mine", 0.0)
HARD = Cell("resnet20", "mine", 0.0, "hard")
RECIPE = protocol_file.load("quick", Path()).finetune
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:pruner 'mine' left:pytest_prunecal.errors.MeasurementWarning"),
]


def bench_of(folder, function, *, pad=1, levels=(), tunes=True, **finetune):
    quick = protocol_file.load("quick", Path())
    tiny = replace(
        quick,
        dataset={"name": "digits", "size": 8, "train": 97, "test": 30},
        pad=pad,
        base=replace(quick.base, epochs=1, warmup=0, batch=16),
        finetune=replace(quick.finetune, **{"epochs": 2, "batch": 16, **finetune}),
        evaluation=replace(quick.evaluation, corruptions=("fog",), severities=(1,), batch=30),
    )
    own = Extensions(pruners={"mine": Pruner(function, levels=levels, tunes=tunes)})
    setup = Setup(tiny, str(folder), "cpu", None, own)
    return Bench(setup, Store(setup.store), torch.device("cpu"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def pruned(bench, cell=CELL):
    with reproducible(1):
        return pruned_of(bench.build("resnet20"), cell, bench).model


def same(left, right):
    mine, theirs = left.state_dict(), right.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_a_pruner_is_given_what_it_names(folder):
    seen = {}

    def prune(  # noqa: PLR0913 - all there is
        model, /, *, batches, example, classes, device, recipe, generator, fine_tune, other=3, **rest
    ):
        seen.update(locals())
        return Pruned(model)

    bench = bench_of(folder, prune)
    pruned(bench)
    assert (seen["classes"], seen["device"], seen["other"], seen["rest"]) == (10, bench.device, 3, {})
    assert seen["recipe"] == bench.protocol.finetune
    assert callable(seen["fine_tune"])
    batches = [*seen["batches"]]
    assert len(seen["batches"]) == len(batches) == 6  # one of a single image is left out
    images, labels = torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
    assert (images.shape, images.dtype, labels.dtype) == ((96, 3, 8, 8), torch.float32, torch.int64)
    assert torch.equal(seen["example"], batches[0][0])
    # Each image once, normalised by hand, with its own label.
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (bench.protocol.mean, bench.protocol.std))
    known = {
        tuple(image.flatten().tolist()): int(label)
        for image, label in zip(bench.dataset.train_images, bench.dataset.train_labels, strict=True)
    }
    for image, label in zip(images, labels, strict=True):
        assert known[tuple(((image * std + mean) * 255).round().int().flatten().tolist())] == int(label)


def test_what_it_is_given_depends_on_seed_and_cell_alone(folder):
    drawn = []

    def prune(model, _level, batches, generator):
        torch.rand(len(drawn) + 1)  # the state of no generator matters
        drawn.append((torch.cat([y for _, y in batches]), torch.rand(3, generator=generator)))
        drawn[-1] += (torch.cat([y for _, y in batches]),)
        return Pruned(model)

    bench = bench_of(folder, prune, levels=("hard", "soft"))
    for cell, place in (
        (HARD, bench),
        (HARD, bench),
        (replace(HARD, level="soft"), bench),
        (HARD, bench.at(5)),
    ):
        pruned(place, cell)
    first, again, level, seed = drawn
    for one in drawn:
        assert torch.equal(one[0], one[2])  # iterated twice
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (level, seed):
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_what_is_not_fine_tuned_draws_the_same_under_every_seed(folder):
    drawn = []

    def prune(model, batches, generator):
        labels = torch.cat([y for _, y in batches])
        drawn.append((labels, torch.rand(3, generator=generator), torch.rand(3)))
        drawn[-1] += (torch.from_numpy(np.random.rand(3)), torch.tensor(random.random()))  # noqa: NPY002, S311
        return Pruned(model)

    for tunes in (False, True):
        bench = bench_of(folder, prune, tunes=tunes)
        for place in (bench, bench.at(5)):
            pruned(place)
    for first, other, tuned, seeded in zip(*drawn, strict=True):
        assert torch.equal(first, other)
        assert torch.equal(first, tuned)  # as the protocol's seed has it
        assert not torch.equal(first, seeded)


@pytest.mark.parametrize(
    ("masks", "how", "told"),
    [
        (None, {}, True),
        (True, {}, True),
        (False, {}, False),  # zero from the first step of fine-tuning on
        (False, {"epochs": 0}, True),
        (False, {"tunes": False}, True),
    ],
)
def test_a_pruner_that_leaves_the_network_as_it_was_is_told(folder, masks, how, told):
    def prune(model):
        if masks is None:
            return Pruned(copy.deepcopy(model))
        mask = torch.full_like(model.conv1.weight, masks, dtype=torch.bool)
        return Pruned(copy.deepcopy(model), {"conv1.weight": mask})

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pruned(bench_of(folder, prune, **how))
    message = "pruner 'mine' left ResNet as it was: no layer and no weight is another"
    assert [str(one.message) for one in caught] == [message] * told


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"verify": 3}, "its verify is a int; wanted a function"),
        ({"costs": [3]}, "its costs are a list; wanted a dict"),
    ],
)
def test_what_a_pruner_gives_besides_is_what_it_must_be(folder, how, message):
    with pytest.raises(PrunecalError, match=f"pruner 'mine': {message}"):
        pruned(bench_of(folder, lambda model: Pruned(model, **how)))


def zeroed(model):
    model.conv1.weight.data[0] = 0
    return Pruned(model)


def activated(model):
    found = copy.deepcopy(model)
    found.add_module("other", nn.ReLU())
    return Pruned(found)


def half_precise(model):
    found = copy.deepcopy(model)
    found.register_buffer("scales", torch.ones(2, dtype=torch.float16))
    return Pruned(found)


@pytest.mark.parametrize("prune", [zeroed, activated, half_precise])
def test_a_pruner_that_changes_something_is_not(folder, prune):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pruned(bench_of(folder, prune))


def test_the_parameters_given_by_position_may_have_any_names(folder):
    def prune(example, classes, device):
        assert isinstance(example, nn.Module)
        assert (classes, device) == ("hard", torch.device("cpu"))
        return Pruned(example)

    pruned(bench_of(folder, prune, levels=("hard",)), HARD)


def test_fine_tune_is_the_gates_own_loop_once_a_call_with_random_numbers_of_its_own(folder):
    masks = {"conv1.weight": torch.rand(4, 3, 3, 3, generator=generator_of(0)) > 0.5}
    seen = []

    def prune(model, recipe, fine_tune):
        seen.append(copy.deepcopy(model))
        fine_tune(model, epochs=1, masks=masks)
        fine_tune(model, recipe=replace(recipe, learning_rate=0.01))
        assert not model.training
        return Pruned(model)

    bench = bench_of(folder, prune)
    found = pruned(bench)
    assert same(found, pruned(bench))
    expected = seen[0]
    parts = bench.protocol.seed, "pruner's fine-tuning", "resnet20", "mine"
    first, second = (
        replace(bench.protocol.finetune, **one) for one in ({"epochs": 1}, {"learning_rate": 0.01})
    )
    with reproducible(1):
        bench.trainer.train(expected, first, generator_of(*parts, 1), Pressure(masks))
        assert bool((expected.conv1.weight[~masks["conv1.weight"]] == 0).all())
        bench.trainer.train(expected, second, generator_of(*parts, 2), Pressure())
    assert same(found, expected)


@pytest.mark.parametrize("own", [False, True])
def test_a_teacher_against_a_loop_written_out(folder, own):
    start, teachers = [], []

    def squares(logits, labels, taught):
        return ((logits - taught) ** 2).mean() + functional.cross_entropy(logits, labels)

    def prune(model, fine_tune):
        teacher = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.9)
        start.append(copy.deepcopy(model))
        teachers.append(copy.deepcopy(teacher))
        how = {"loss": squares} if own else {"temperature": 3.0, "soft": 0.7}
        fine_tune(model, teacher=teacher, **how)
        assert teacher.training  # as it was
        assert same(teacher, teachers[0])
        return Pruned(model)

    bench = bench_of(folder, prune, pad=0, learning_rate=0.01, label_smoothing=0.1)
    found, recipe = pruned(bench), bench.protocol.finetune
    model, teacher = start[0].train(), teachers[0].eval()
    optimiser = torch.optim.SGD(model.parameters(), lr=1, momentum=0.9, weight_decay=recipe.weight_decay)
    generator = generator_of(bench.protocol.seed, "pruner's fine-tuning", "resnet20", "mine", 1)
    images, labels = bench.dataset.train_images, bench.dataset.train_labels
    for epoch in range(2):
        order = torch.randperm(97, generator=generator)
        torch.randint(0, 1, (97, 2), generator=generator)  # crops and flips, of which there are none
        torch.randint(0, 2, (97, 1), generator=generator)
        for step in range(6):
            chosen = order[16 * step : 16 * step + 16]
            inputs = bench.forward.normalisation.apply(images[chosen])
            logits, target = model(inputs), labels[chosen]
            with torch.no_grad():
                taught = teacher(inputs)
            if own:
                loss = squares(logits, target, taught)
            else:
                hard = functional.cross_entropy(logits, target, label_smoothing=0.1)
                theirs, ours = (taught / 3).softmax(1), (logits / 3).softmax(1)
                loss = 0.3 * hard + 0.7 * 9 * (theirs * (theirs.log() - ours.log())).sum(1).mean()
            optimiser.param_groups[0]["lr"] = learning_rate(recipe, epoch + step / 6)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    for ours, theirs in zip(found.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"model": 3}, "calls fine_tune with a int; wanted an nn.Module"),
        ({"epochs": -1}, "calls fine_tune with epochs=-1; it must be a whole number, at least 0"),
        ({"epochs": 1.5}, "calls fine_tune with epochs=1.5; it must be a whole number, at least 0"),
        ({"recipe": {}}, "calls fine_tune with a recipe that is a dict"),
        ({"teacher": 3}, "calls fine_tune with a teacher that is a int; wanted an nn.Module"),
        (
            {"teacher": nn.Sequential(nn.Flatten(), nn.Linear(192, 7))},
            r"fine-tunes on float32 \(16, 10\) logits with a teacher that gives float32 \(16, 7\)",
        ),
        ({"temperature": 0}, "calls fine_tune with temperature=0 and soft=0.9; the one must be above 0"),
        ({"temperature": float("inf")}, "calls fine_tune with temperature=inf and soft=0.9; the one must be"),
        ({"soft": "much"}, "calls fine_tune with temperature=4.0 and soft='much'; the one must be above 0"),
        (
            {"recipe": replace(RECIPE, optimiser="adam")},
            "calls fine_tune with optimiser='adam'; it must be one of sgd, adamw",
        ),
        (
            {"recipe": replace(RECIPE, schedule="linear")},
            "calls fine_tune with schedule='linear'; it must be one of step, cosine",
        ),
        ({"recipe": replace(RECIPE, batch=1)}, "calls fine_tune with batch=1; it must be .*, at least 2"),
        ({"recipe": replace(RECIPE, epochs=-3)}, "calls fine_tune with epochs=-3; it must be .*, at least 0"),
        ({"soft": 2}, "calls fine_tune with temperature=4.0 and soft=2; the one must be above 0"),
        (
            {"loss": lambda logits, _: logits},
            r"fine-tunes on a loss that is float32 \(16, 10\); wanted float \(\)",
        ),
        ({"loss": lambda *_: 3.0}, r"fine-tunes on a loss that is a float; wanted float \(\)"),
        ({"masks": 3}, "its masks are a int; wanted a dict"),
        ({"masks": {"conv9": torch.ones(1)}}, "masks 'conv9', and the network has no such parameter"),
        (
            {"masks": lambda *_: {"conv9": torch.ones(1)}},
            "masks 'conv9', and the network has no such",
        ),
    ],
)
def test_a_call_that_cannot_be_is_one_sentence(folder, how, message):
    def prune(model, fine_tune):
        fine_tune(**{"model": model, **how})
        return Pruned(model)

    with pytest.raises(PrunecalError, match=f"pruner 'mine':? {message}"):
        pruned(bench_of(folder, prune))


def test_a_pruner_under_no_grad_may_train(folder):
    @torch.no_grad()
    def prune(model, fine_tune):
        before = copy.deepcopy(model)
        fine_tune(model, epochs=1)
        assert not same(before, model)
        return Pruned(model)

    pruned(bench_of(folder, prune))


def iterative(model, fine_tune):
    found = copy.deepcopy(model)
    for count in (1, 2):
        mask = torch.ones_like(found.conv1.weight, dtype=torch.bool)
        mask[:, :count] = False
        fine_tune(found, epochs=1, masks={"conv1.weight": mask})
    return Pruned(found, {"conv1.weight": mask})


def test_the_trace_of_a_pruner_that_trains_begins_where_it_begins_to(folder):
    bench = bench_of(folder, iterative)
    trial = measure_once(CELL, bench).measurement
    stages = trial.trace.stages
    assert tuple(stages) == STAGES
    assert stages["structure"] == {}  # training may decide it
    assert stages["finetune"]["steps"] == 6 + 6 + 12
    assert {f"loss {step}" for step in range(1, STEPS + 1)} <= {*stages["finetune"]}
    assert stages["pruned"]["accuracy"] == stages["dense"]["accuracy"]  # nothing was pruned before it
    assert read(trial.trace.to_dict()) == trial.trace
    found = jitter(CELL, bench, trial.trace, trial.metrics, 0).trace
    assert {"loss 1", "loss 5"} <= {*found["finetune"]}
    assert "steps" not in found["finetune"]
    whole = jitter(CELL, bench, trial.trace, trial.metrics, 1)
    assert whole.metrics.keys() == trial.metrics.keys()


def test_who_has_seen_enough_ends_a_pruner_that_catches_errors(folder):
    calls = []

    def prune(model, fine_tune):
        while len(calls) < 50:
            calls.append(1)
            with suppress(Exception):
                fine_tune(model, epochs=1)
        return Pruned(model)

    bench = bench_of(folder, prune)
    with reproducible(1):
        _, stages, costs = measure.compressed(bench.build("resnet20"), CELL, bench, steps_alone=True)
    assert len(calls) == 1
    assert [*stages] == ["pruned", "structure", "finetune"]
    assert costs is None


def test_what_is_not_fine_tuned_has_no_such_stage(folder):
    def prune(model):
        found = copy.deepcopy(model)
        found.conv1.weight.data[:, 0] = 0.5
        return Pruned(found)

    bench = bench_of(folder, prune, tunes=False)
    trace = measure_once(CELL, bench).measurement.trace
    assert [*trace.stages] == ["data", "corruptions", "dense", "pruned", "structure"]
    assert read(trace.to_dict()) == trace
    with reproducible(1):
        model, _, costs = measure.compressed(bench.build("resnet20"), CELL, bench)
    assert costs is None
    assert bool((model.conv1.weight[:, 0] == 0.5).all())


def test_a_pruner_whose_row_says_that_it_does_not_train_does_not(folder):
    message = "pruner 'mine' calls fine_tune, and its row says tunes=False.* take tunes=False away"
    with pytest.raises(PrunecalError, match=message):
        pruned(bench_of(folder, iterative, tunes=False))


def test_a_pruner_verifies_the_network_that_is_evaluated(folder):
    seen = []

    def prune(model):
        found = copy.deepcopy(model)
        return Pruned(found, verify=lambda network: seen.append(network is found))

    measure_once(CELL, bench_of(folder, prune))
    assert seen == [True]


def test_what_a_pruner_asks_for_in_vain_is_told_before_anything_is_trained(tmp_path):
    def prune(model, images):
        return Pruned(model, images)

    bench = bench_of(tmp_path, prune)
    message = "called with a network, and those of batches, .* that it names: missing a required argument"
    with pytest.raises(PrunecalError, match=message):
        measure_once(CELL, bench)
    assert not (tmp_path / "base").exists()


def test_a_built_in_pruner_that_trains_is_rehearsed_by_one_step(folder, monkeypatch):
    bench = bench_of(folder, iterative)
    bench.setup.extensions.models["own"] = lambda num_classes: nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)
    )
    steps = []
    train = type(bench.trainer).train

    def counted(self, network, recipe, generator, pressure):
        def look(*seen):
            steps.append(1)
            return pressure.observer(*seen)

        train(self, network, recipe, generator, replace(pressure, observer=look))

    monkeypatch.setattr(type(bench.trainer), "train", counted)
    for ratio in (0.3, 0.5):
        measure.rehearse(Cell("own", "gradual", ratio), bench)
    assert len(steps) == 1
