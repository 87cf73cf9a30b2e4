"""Gradual pruning: the schedule by its equation, the training against a loop written out."""

import copy
from fractions import Fraction
from pathlib import Path

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab.pruners import gradual
from pytest_prunecal.study import protocol_file

RECIPE = protocol_file.load("quick", Path()).finetune
percent = st.integers(0, 99).map(lambda one: Fraction(one, 100))
quickly = hypothesis.settings(max_examples=30, deadline=None)


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(24, 5))


def training(steps, changes=lambda _: None):
    """A stand-in for `fine_tune`: the callbacks in their order, weights changed in between."""
    calls = []

    def fine_tune(model, *, epochs, masks):
        held = {}
        for step in range(steps):
            held = masks(step, steps) or held
            for name, mask in held.items():
                model.get_parameter(name).data.mul_(mask)
            zeros = {name: int((~mask).sum()) for name, mask in held.items()}
            calls.append((epochs, step, zeros))
            changes(model)
            for name, mask in held.items():
                model.get_parameter(name).data.mul_(mask)

    return fine_tune, calls


@quickly
@hypothesis.given(final=percent, of=st.integers(1, 200))
def test_the_schedule_is_the_papers_equation_and_never_falls(final, of):
    found = [gradual.sparsity(final, number, of) for number in range(of + 1)]
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0, final)
    # s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3 with s_i = t_0 = 0, in floats.
    expected = [float(final) + (0 - float(final)) * (1 - number / of) ** 3 for number in range(of + 1)]
    assert [float(one) for one in found] == pytest.approx(expected, abs=1e-12)


@quickly
@hypothesis.given(share=percent, seed=st.integers(0, 50))
def test_what_is_kept_is_what_torchs_layerwise_pruning_keeps(share, seed):
    model = network(seed)
    masks = gradual.kept(model, share)
    for name, module in (("0", model[0]), ("3", model[3])):
        count = int(module.weight.numel() * share)
        theirs = torch_prune.L1Unstructured(amount=count).compute_mask(
            module.weight.detach(), torch.ones_like(module.weight)
        )
        assert torch.equal(masks[f"{name}.weight"], theirs.bool())


def test_every_few_steps_more_is_zero_and_in_the_end_the_ratio():
    fine_tune, calls = training(64, lambda model: [p.data.add_(0.01) for p in model.parameters()])
    start = network()
    before = copy.deepcopy(start.state_dict())
    pruned = gradual.prune(start, 0.5, fine_tune=fine_tune, recipe=RECIPE)
    assert all(torch.equal(start.state_dict()[key], before[key]) for key in before)
    assert {epochs for epochs, _, _ in calls} == {RECIPE.epochs / 2}
    counts = {"0.weight": 162, "3.weight": 120}
    for _, step, zeros in calls:
        share = gradual.sparsity(Fraction(1, 2), step // 4, 16)
        assert zeros == {name: int(count * share) for name, count in counts.items()}
    for name, count in counts.items():
        weight = pruned.model.get_parameter(name)
        assert int((weight == 0).sum()) == int((~pruned.masks[name]).sum()) == count // 2


def test_what_is_zero_stays_zero():
    seen = []
    fine_tune, _ = training(
        32, lambda model: seen.append({n: model.get_parameter(n) == 0 for n in ("0.weight", "3.weight")})
    )
    pruned = gradual.prune(network(), 0.8, fine_tune=fine_tune, recipe=RECIPE)
    for zeros in seen:
        assert all(not (pruned.masks[name] & where).any() for name, where in zeros.items())


@pytest.mark.parametrize("steps", [0, 1, 5, 17])
def test_few_steps_or_none(steps):
    fine_tune, calls = training(steps)
    pruned = gradual.prune(network(), 0.3, fine_tune=fine_tune, recipe=RECIPE)
    assert len(calls) == steps
    assert int((~pruned.masks["0.weight"]).sum()) == int(162 * Fraction(3, 10))


def test_ratio_zero_prunes_nothing():
    fine_tune, calls = training(20)
    start = network()
    pruned = gradual.prune(start, 0.0, fine_tune=fine_tune, recipe=RECIPE)
    assert all(zeros == {} for _, _, zeros in calls)
    assert all(torch.equal(a, b) for a, b in zip(start.parameters(), pruned.model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("model", "ratio", "message"),
    [
        (nn.ReLU(), 0.5, "the network has nothing that this pruner could prune"),
        (nn.Linear(2, 2), 1.0, "a pruning ratio must be at least 0 and less than 1, not 1"),
    ],
)
def test_what_cannot_be_pruned(model, ratio, message):
    with pytest.raises(PrunecalError, match=message):
        gradual.prune(model, ratio, fine_tune=training(1)[0], recipe=RECIPE)


def test_weights_that_are_not_finite():
    model = nn.Linear(2, 2)
    model.weight.data[0, 0] = float("inf")
    with pytest.raises(PrunecalError, match="its training diverged"):
        gradual.prune(model, 0.5, fine_tune=training(0)[0], recipe=RECIPE)


def test_weights_of_layers_that_are_not_known_are_said_to_be_left_out():
    model = nn.Linear(4, 4)
    model.own = nn.Parameter(torch.ones(3, 4))
    with pytest.warns(MeasurementWarning, match=r"gradual pruning and sparsity leave own out \(12 values\)"):
        gradual.prune(model, 0.5, fine_tune=training(4)[0], recipe=RECIPE)
