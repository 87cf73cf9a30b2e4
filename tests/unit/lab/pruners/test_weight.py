"""Weight pruning, against its definition and torch's own pruning."""

import copy
from fractions import Fraction

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune

from pytest_prunecal.errors import MeasurementWarning
from pytest_prunecal.lab.pruners import weight
from pytest_prunecal.lab.pruners.base import PruneWarning, held_by, hold

quickly = hypothesis.settings(max_examples=30)
percent = st.integers(0, 99)


def conv_masks(pruned):
    return torch.cat([mask.flatten() for mask in pruned.masks.values()])


@pytest.mark.parametrize("ratio", [Fraction(1, 10), Fraction(3, 10), Fraction(7, 10)], ids=float)
@pytest.mark.parametrize("model", ["vgg19", "resnet20", "preresnet110"])
def test_weight_masks_agree_with_torch_up_to_the_threshold_convention(network_of, model, ratio):
    network = network_of(model)
    pruned = weight.prune(network, float(ratio))
    reference = copy.deepcopy(network)
    convs = {key: m for key, m in reference.named_modules() if isinstance(m, nn.Conv2d)}
    assert list(pruned.masks) == [f"{key}.weight" for key in convs]
    count = int(sum(conv.weight.numel() for conv in convs.values()) * ratio)
    targets = [(conv, "weight") for conv in convs.values()]
    torch_prune.global_unstructured(targets, torch_prune.L1Unstructured, amount=count)
    kept_by_torch = torch.cat([conv.weight_mask.bool().flatten() for conv in convs.values()])
    kept = conv_masks(pruned)
    assert (kept & ~kept_by_torch).sum() == 0
    assert (kept_by_torch & ~kept).sum() == 1  # torch keeps the threshold itself
    assert (~kept).sum() == count + 1


def test_weight_pruning_zeroes_conv_weights_and_nothing_else(network_of):
    network = network_of("preresnet110")
    dense = network.state_dict()
    pruned = weight.prune(network, 0.6)
    for key, value in pruned.model.state_dict().items():
        mask = pruned.masks.get(key, torch.ones_like(value, dtype=torch.bool))
        assert torch.equal(value, torch.where(mask, dense[key], torch.zeros_like(value)))
    assert "conv1.weight" in pruned.masks
    assert "layer1.0.downsample.weight" in pruned.masks


@quickly
@hypothesis.given(low=percent, high=percent, seed=st.integers(0, 99))
def test_weight_masks_are_nested_counted_and_idempotent(toy, pruned_and_floored, low, high, seed):
    network = toy(seed=seed)
    low, high = sorted((low, high))
    (some, floored), (more, more_floored) = (
        pruned_and_floored(weight, network, percents / 100) for percents in (low, high)
    )
    assert (conv_masks(some) | ~conv_masks(more)).all()
    total = conv_masks(some).numel()
    for pruned, kept, percents in ((some, floored, low), (more, more_floored, high)):
        gone = total * percents // 100 + 1 if percents else 0
        assert (~conv_masks(pruned)).sum() == gone - len(kept)
    if not floored:
        assert torch.equal(conv_masks(weight.prune(some.model, low / 100)), conv_masks(some))


def test_equal_weights_fall_together_but_every_layer_keeps_its_largest(toy):
    network = toy()
    with torch.no_grad():
        network.stem.weight.fill_(0.5)
        network.conv.weight.fill_(0.5)
        network.conv.weight[2, 1, 0, 0] = -0.6
        network.head.weight.fill_(0.7)
    says = r"ratio 0.2 would have emptied stem; it keeps its largest weight"
    with pytest.warns(PruneWarning, match=says) as caught:
        pruned = weight.prune(network, 0.2)
    assert len(caught) == 1
    assert pruned.masks["stem.weight"].nonzero().tolist() == [[0, 0, 0, 0]]
    assert pruned.masks["conv.weight"].nonzero().tolist() == [[2, 1, 0, 0]]


def test_masked_weights_stay_zero_through_training(toy):
    network = toy().train()
    pruned = weight.prune(network, 0.5)
    model = pruned.model
    start = copy.deepcopy(model.state_dict())
    images = torch.randn(8, 2, 3, 3)
    for _ in range(3):
        model.zero_grad()
        model(images).square().mean().backward()
        with torch.no_grad():  # SGD by hand: importing torch.optim takes seconds
            for parameter in model.parameters():
                parameter.sub_(parameter.grad, alpha=0.1)
        assert any((model.get_parameter(name)[~mask] != 0).any() for name, mask in pruned.masks.items())
        hold(held_by(model, pruned.masks))
    for name, mask in pruned.masks.items():
        assert mask.dtype == torch.bool
        assert (model.get_parameter(name)[~mask] == 0).all()
        assert (model.get_parameter(name)[mask] != start[name][mask]).all()
    assert all(p.requires_grad for p in model.parameters())


def test_linear_and_attention_layers_are_ranked_and_what_is_left_out_is_said():
    torch.manual_seed(0)
    network = nn.ModuleDict(
        {
            "attention": nn.MultiheadAttention(8, 2),
            "other_sizes": nn.MultiheadAttention(8, 2, kdim=4, vdim=6),
            "deep": nn.Conv1d(8, 4, 3),
            "head": nn.Linear(8, 4),
            "words": nn.Embedding(5, 8),
        }
    )
    with pytest.warns(MeasurementWarning, match=r"leave words.weight out \(40 values\)"):
        pruned = weight.prune(network, 0.5)
    assert set(pruned.masks) == {
        *("attention.in_proj_weight", "attention.out_proj.weight", "deep.weight", "head.weight"),
        *(f"other_sizes.{name}_proj_weight" for name in "qkv"),
        "other_sizes.out_proj.weight",
    }
    assert (~conv_masks(pruned)).sum() == conv_masks(pruned).numel() // 2 + 1
    assert (pruned.model["words"].weight == network["words"].weight).all()


def test_a_tied_weight_is_ranked_once():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    network[1].weight = network[0].weight
    pruned = weight.prune(network, 0.5)
    assert list(pruned.masks) == ["0.weight", "2.weight"]
    assert (~conv_masks(pruned)).sum() == (16 + 8) // 2 + 1
    assert pruned.model[1].weight is pruned.model[0].weight


@pytest.mark.parametrize(
    ("fast", "build"),
    [
        ("_native_multi_head_attention", lambda: nn.MultiheadAttention(8, 2, batch_first=True)),
        ("_transformer_encoder_layer_fwd", lambda: nn.TransformerEncoderLayer(8, 2, 16, 0, batch_first=True)),
    ],
    ids=["attention", "encoder"],
)
def test_masks_hold_in_the_fast_path_of_attention(monkeypatch, fast, build):
    def outputs():
        return model(*inputs, need_weights=False)[0] if len(inputs) == 3 else model(*inputs)

    torch.manual_seed(0)
    pruned = weight.prune(build(), 0.5)
    model, tokens = pruned.model.train(), torch.randn(2, 5, 8)
    inputs = [tokens] * (3 if isinstance(model, nn.MultiheadAttention) else 1)
    held = held_by(model, pruned.masks)
    outputs().square().sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(parameter.grad, alpha=0.1)
        hold(held)
    (name,) = (name for name in pruned.masks if name.endswith("out_proj.weight"))
    out_proj, calls, native = model.get_parameter(name), [], getattr(torch, fast)
    monkeypatch.setattr(torch, fast, lambda *given: calls.append(given) or native(*given))
    model.eval()
    with torch.no_grad():
        found = outputs()
        assert any(argument is out_proj for argument in calls[0])
        assert (~pruned.masks[name]).any()
        assert (out_proj[~pruned.masks[name]] == 0).all()
        for key, mask in pruned.masks.items():
            model.get_parameter(key)[~mask] = 7.0
        assert not torch.equal(outputs(), found)
        hold(held)
        assert torch.equal(outputs(), found)
        monkeypatch.setattr(torch.backends.mha, "get_fastpath_enabled", lambda: False)
        count = len(calls)
        torch.testing.assert_close(outputs(), found)
        assert len(calls) == count
