"""Training: one step by hand, schedules, masks, the penalty on BN scales, determinism."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from pytest_prunecal.lab.forward import Forward, Normalisation
from pytest_prunecal.lab.randomness import generator_of
from pytest_prunecal.lab.reproducible import reproducible
from pytest_prunecal.lab.training import loop as training
from pytest_prunecal.lab.training.augmentation import Augmentation
from pytest_prunecal.lab.training.loop import Pressure, learning_rate, steps_per_epoch, train
from pytest_prunecal.study.protocol import Recipe

RECIPE = Recipe(
    epochs=3,
    batch=8,
    learning_rate=0.1,
    schedule="step",
    milestones=(),
    decay=0.1,
    warmup=0.0,
    momentum=0.9,
    weight_decay=0.01,
    nesterov=False,
)
NORMALISATION = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
FORWARD = Forward(NORMALISATION)
PLAIN = Augmentation(0, flip=False)
CROPS = Augmentation(2, flip=True)
pytestmark = pytest.mark.usefixtures("one_thread")


def network(seed=0, *, dead=False):
    torch.manual_seed(seed)
    layers = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 4, 3, bias=False),
        nn.BatchNorm2d(4, affine=not dead),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )
    for module in layers:
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight)
    return layers


def data(count=20, seed=1):
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 6, 6), dtype=torch.uint8, generator=draw)
    return images, torch.randint(0, 5, (count,), generator=draw)


def trained(model, recipe=RECIPE, count=20, augmentation=CROPS, pressure=None, seed=3):
    images, labels = data(count)
    generator = torch.Generator().manual_seed(seed)
    train(model, images, labels, recipe, FORWARD, augmentation, generator, pressure or Pressure())
    return model


def by_hand(model, recipe, count, pressure, seed=3):
    """The same training with plain images, its optimiser written out: momentum, weight decay, L1, masks."""
    images, labels = data(count)
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(model.named_parameters())
    scales = [
        f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)
    ]
    velocity = {}
    model.train()
    for epoch in range(recipe.epochs):
        order = torch.randperm(count, generator=generator).tolist()
        PLAIN.draw(count, generator)
        batches = [order[start : start + recipe.batch] for start in range(0, count, recipe.batch)]
        batches = [batch for batch in batches if len(batch) > 1]
        for step, batch in enumerate(batches):
            rate = learning_rate(recipe, epoch + step / len(batches))
            pixels = (torch.stack([images[index] for index in batch]).double() / 255 - 0.5) / 0.25
            loss = functional.cross_entropy(model(pixels), labels[batch])
            slopes = torch.autograd.grad(loss, list(parameters.values()))
            with torch.no_grad():
                for (name, weight), slope in zip(parameters.items(), slopes, strict=True):
                    penalty = pressure.slimming * weight.sign() if name in scales else 0.0
                    gradient = slope + penalty + recipe.weight_decay * weight
                    velocity[name] = (
                        recipe.momentum * velocity[name] + gradient if name in velocity else gradient
                    )
                    change = (
                        gradient + recipe.momentum * velocity[name] if recipe.nesterov else velocity[name]
                    )
                    weight.sub_(rate * change)
                    if name in pressure.masks:
                        weight[~pressure.masks[name]] = 0
    return model


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("slimming", [0.0, 0.05])
@pytest.mark.parametrize("count", [16, 17, 18])
def test_training_is_what_the_recipe_says(nesterov, slimming, count):
    recipe = dataclasses.replace(RECIPE, nesterov=nesterov, milestones=(1,), schedule="step")
    mask = torch.rand(4, 6, 3, 3, generator=torch.Generator().manual_seed(0)) > 0.5
    pressure = Pressure({"3.weight": mask}, slimming)
    start = network()
    with torch.no_grad():
        start[3].weight.mul_(mask)
    found = trained(copy.deepcopy(start), recipe, count, PLAIN, pressure)
    expected = by_hand(copy.deepcopy(start).double(), recipe, count, pressure)
    for (name, ours), theirs in zip(found.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=2e-5, msg=name)
    assert any(not torch.equal(a, b) for a, b in zip(start.parameters(), found.parameters(), strict=True))


def test_the_penalty_is_lambda_times_the_sign_of_gamma():
    # One step without momentum and decay: with and without it only BN scales differ, by rate * lambda.
    recipe = dataclasses.replace(RECIPE, epochs=1, batch=20, momentum=0.0, weight_decay=0.0)
    start = network()
    with torch.no_grad():
        start[1].weight[0] = 0.0
    free = dict(trained(copy.deepcopy(start), recipe).named_parameters())
    slim = dict(trained(copy.deepcopy(start), recipe, pressure=Pressure(slimming=0.25)).named_parameters())
    for name, before in start.named_parameters():
        difference = free[name] - slim[name]
        if name in ("1.weight", "4.weight"):
            torch.testing.assert_close(difference, 0.1 * 0.25 * before.sign(), rtol=0, atol=1e-6)
        else:
            assert torch.equal(difference, torch.zeros_like(difference)), name


def by_torch(model, recipe, optimiser, count=20, seed=3, loss=functional.cross_entropy):
    """The same training with plain images and an optimiser of torch's own."""
    images, labels = data(count)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for epoch in range(recipe.epochs):
        order = torch.randperm(count, generator=generator)
        PLAIN.draw(count, generator)
        batches = [batch for batch in order.split(recipe.batch) if len(batch) > 1]
        for step, batch in enumerate(batches):
            optimiser.param_groups[0]["lr"] = learning_rate(recipe, epoch + step / len(batches))
            found = loss(model((images[batch] / 255 - 0.5) / 0.25), labels[batch])
            optimiser.zero_grad()
            found.backward()
            if recipe.clip_norm:
                slopes = [parameter.grad for parameter in model.parameters()]
                norm = torch.cat([slope.flatten() for slope in slopes]).norm()
                for slope in slopes:
                    slope.mul_(min(1.0, recipe.clip_norm / float(norm)))
            optimiser.step()
    return model


def smoothed(logits, labels):
    """Szegedy et al. 2016, section 7, with 0.1: cross-entropy with a mixture of the label and all classes."""
    target = functional.one_hot(labels, 5) * 0.9 + 0.1 / 5
    return -(target * functional.log_softmax(logits, 1)).sum(1).mean()


@pytest.mark.parametrize(
    ("more", "loss"),
    [
        ({"label_smoothing": 0.1}, smoothed),
        ({"clip_norm": 0.5}, functional.cross_entropy),
        ({"optimiser": "adamw", "learning_rate": 0.003, "betas": (0.8, 0.99)}, functional.cross_entropy),
    ],
)
def test_what_a_recipe_may_say_besides(more, loss):
    recipe = dataclasses.replace(RECIPE, **more)
    start = network()
    theirs = copy.deepcopy(start)
    if recipe.optimiser == "adamw":
        optimiser = torch.optim.AdamW(theirs.parameters(), betas=recipe.betas, weight_decay=0.01)
    else:
        optimiser = torch.optim.SGD(theirs.parameters(), momentum=0.9, weight_decay=0.01)
    expected = by_torch(theirs, recipe, optimiser, loss=loss)
    found = trained(copy.deepcopy(start), recipe, augmentation=PLAIN)
    otherwise = trained(copy.deepcopy(start), RECIPE, augmentation=PLAIN)
    for ours, wanted in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-3, atol=2e-5)
    assert not torch.equal(found[3].weight, otherwise[3].weight)


def test_another_loss_is_given_logits_labels_and_images_as_augmented():
    seen = []

    def loss(logits, labels, images):
        seen.append((tuple(logits.shape), labels.dtype, images.dtype, tuple(images.shape)))
        return functional.cross_entropy(logits, labels)

    start = network()
    found = trained(copy.deepcopy(start), pressure=Pressure(loss=loss))
    assert {*seen} == {
        ((8, 5), torch.int64, torch.uint8, (8, 3, 6, 6)),
        ((4, 5), torch.int64, torch.uint8, (4, 3, 6, 6)),
    }
    expected = trained(copy.deepcopy(start))
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), expected.parameters(), strict=True))


def test_a_schedule_gives_masks_on_the_way():
    half = torch.arange(4 * 6 * 9).view(4, 6, 3, 3) % 2 == 0
    asked, zeros = [], []

    def schedule(step, steps):
        asked.append((step, steps))
        return {"3.weight": half} if step == 4 else None

    def look(model, *_):
        zeros.append(bool((model[3].weight[~half] == 0).all()))
        return False

    trained(network(), pressure=Pressure(schedule=schedule, observer=look))
    assert asked == [(step, 9) for step in range(9)]
    assert zeros == [False] * 4 + [True] * 5


def test_batch_norms_without_scales_are_no_obstacle():
    trained(network(dead=True), pressure=Pressure(slimming=0.1))


def test_masked_weights_stay_zero_through_momentum_and_decay():
    masks = {
        name: torch.rand(weight.shape, generator=torch.Generator().manual_seed(9)) > 0.6
        for name, weight in network().named_parameters()
        if weight.dim() == 4
    }
    model = network()
    seen = []

    def watch(*_):
        seen.append({name: model.get_parameter(name).detach().clone() for name in masks})

    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)
    model.register_forward_pre_hook(watch)
    trained(model, pressure=Pressure(masks=masks))
    watch()
    assert len(seen) == 3 * 3 + 1
    for state in seen:
        for name, mask in masks.items():
            assert torch.equal(state[name] == 0, ~mask)


def test_a_last_batch_of_one_image_is_left_out():
    assert [steps_per_epoch(images, 8) for images in (1, 2, 8, 9, 10, 16, 17)] == [0, 1, 1, 1, 2, 2, 2]
    sizes = []
    model = network()
    model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    trained(model, count=17)
    assert sizes == [8, 8] * 3
    sizes.clear()
    trained(model, count=18)
    assert sizes == [8, 8, 2] * 3


def test_every_image_is_seen_once_an_epoch_in_another_order():
    seen = []
    model = network()
    model.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs[0].flatten(1).sum(1).tolist()))
    trained(model, count=16, augmentation=PLAIN)
    images, _ = data(16)
    everything = sorted(NORMALISATION.apply(images).flatten(1).sum(1).tolist())
    epochs = [seen[start : start + 16] for start in (0, 16, 32)]
    assert all(sorted(epoch) == everything for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("augmentation", [PLAIN, CROPS])
def test_the_images_are_left_as_they_are(augmentation):
    images, labels = data()
    copies = images.clone(), labels.clone()
    train(
        network(),
        images,
        labels,
        RECIPE,
        FORWARD,
        augmentation,
        torch.Generator().manual_seed(0),
        Pressure(),
    )
    assert torch.equal(images, copies[0])
    assert torch.equal(labels, copies[1])


def test_no_epochs_change_nothing():
    start = network()
    for name, weight in (
        trained(copy.deepcopy(start), dataclasses.replace(RECIPE, epochs=0)).state_dict().items()
    ):
        assert torch.equal(weight, start.state_dict()[name])


def state_after(threads, seed=3):
    torch.set_num_threads(threads)
    torch.manual_seed(threads)  # whatever the session did with the global generator
    with reproducible(1):
        model = network(seed=5)
        images, labels = data(64)
        generator = generator_of("training", seed)
        train(model, images, labels, RECIPE, FORWARD, CROPS, generator, Pressure(slimming=0.01))
    return model.state_dict()


def test_the_same_generator_gives_the_same_weights_to_the_last_bit():
    first, again, threaded, other = state_after(1), state_after(1), state_after(2), state_after(1, seed=4)
    for name, weight in first.items():
        assert torch.equal(weight, again[name])
        assert torch.equal(weight, threaded[name])
    assert not torch.equal(first["0.weight"], other["0.weight"])


def test_the_step_schedule():
    paper = dataclasses.replace(RECIPE, epochs=160, milestones=(80, 120))
    rates = [learning_rate(paper, epoch) for epoch in (0, 79.99, 80, 119.5, 120, 159.99)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rel=1e-12)


def test_the_cosine_schedule():
    cosine = dataclasses.replace(RECIPE, epochs=10, schedule="cosine")
    rates = [learning_rate(cosine, epoch) for epoch in (0, 2.5, 5, 7.5, 9.999999)]
    expected = [0.1, 0.05 * (1 + math.sqrt(0.5)), 0.05, 0.05 * (1 - math.sqrt(0.5)), 0.0]
    assert rates == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_warmup_rises_linearly_from_zero(schedule):
    recipe = dataclasses.replace(RECIPE, epochs=10, schedule=schedule, warmup=2.0, milestones=(1,))
    assert [learning_rate(recipe, epoch) for epoch in (0, 0.5, 1, 1.5)] == pytest.approx(
        [0, 0.025, 0.05, 0.075]
    )
    after = {"step": 0.01, "cosine": 0.05 * (1 + math.cos(0.2 * math.pi))}[schedule]
    assert learning_rate(recipe, 2.0) == pytest.approx(after)


def test_the_rate_changes_within_an_epoch(monkeypatch):
    asked = []

    def spy(recipe, epoch):
        asked.append(epoch)
        return learning_rate(recipe, epoch)

    monkeypatch.setattr(training, "learning_rate", spy)
    trained(network(), dataclasses.replace(RECIPE, epochs=2), count=32)
    assert asked == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]


def watching(seen, most=None):
    def observer(model, loss, rate):
        seen.append((float(loss), rate, copy.deepcopy(model.state_dict())))
        return len(seen) == most

    return observer


def test_who_looks_on_sees_every_step_and_changes_none():
    seen = []
    masks = {"3.weight": torch.rand(4, 6, 3, 3, generator=torch.Generator().manual_seed(1)) > 0.5}
    plain = trained(network(), pressure=Pressure(masks)).state_dict()
    watched = trained(network(), pressure=Pressure(masks, observer=watching(seen))).state_dict()
    assert all(torch.equal(plain[name], watched[name]) for name in plain)
    assert len(seen) == 9
    assert [rate for _, rate, _ in seen] == [
        learning_rate(RECIPE, epoch + step / 3) for epoch in range(3) for step in range(3)
    ]
    assert all(torch.equal(plain[name], seen[-1][2][name]) for name in plain)
    assert not seen[0][2]["3.weight"][~masks["3.weight"]].any()  # zeros are held by then


def test_the_loss_of_the_first_step_by_hand():
    seen = []
    trained(network(), augmentation=PLAIN, pressure=Pressure(observer=watching(seen)))
    images, labels = data(20)
    chosen = torch.randperm(20, generator=torch.Generator().manual_seed(3))[: RECIPE.batch]
    pixels = (images[chosen].double() / 255 - 0.5) / 0.25
    logits = network().double().train()(pixels)
    probability = logits.exp() / logits.exp().sum(1, keepdim=True)
    loss = -probability[range(len(chosen)), labels[chosen]].log().mean()
    assert seen[0][0] == pytest.approx(loss.item(), rel=1e-5)


def test_training_ends_where_it_was_seen_enough():
    seen, whole = [], []
    trained(network(), pressure=Pressure(observer=watching(whole)))
    stopped = trained(network(), pressure=Pressure(observer=watching(seen, most=4))).state_dict()
    assert len(seen) == 4
    assert [loss for loss, _, _ in seen] == [loss for loss, _, _ in whole[:4]]
    assert all(torch.equal(stopped[name], whole[3][2][name]) for name in stopped)
