"""2:4 sparsity against a plain loop and torch's own sparsifier."""

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import nn
from torch.ao.pruning import WeightNormSparsifier

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab.models.ranked import ranked_weights
from pytest_prunecal.lab.pruners import two_four
from pytest_prunecal.study.builtin import MODELS

quickly = hypothesis.settings(max_examples=30, deadline=None)


def by_loop(weight):
    """Indices of the two smallest of every four along the second dimension, for a weight (out, in, ...)."""
    mask = torch.ones(weight.shape, dtype=torch.bool)
    flat, kept = weight.flatten(2), mask.flatten(2)
    for out in range(flat.shape[0]):
        for place in range(flat.shape[2]):
            for start in range(0, flat.shape[1], 4):
                sizes = [(-abs(float(flat[out, start + n, place])), n) for n in range(4)]
                for _, n in sorted(sizes)[2:]:
                    kept[out, start + n, place] = False
    return mask


@quickly
@hypothesis.given(
    out=st.integers(1, 4),
    groups=st.integers(1, 3),
    kernel=st.sampled_from([(1,), (3,), (2, 3), (3, 3)]),
    seed=st.integers(0, 100),
    ties=st.booleans(),
)
def test_it_is_the_plain_loop(out, groups, kernel, seed, ties):
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(out, 4 * groups, *kernel, generator=draw)
    weight = weight.round() if ties else weight
    mask = two_four.kept(weight)
    assert torch.equal(mask, by_loop(weight))
    assert int(mask.sum()) * 2 == weight.numel()


@pytest.mark.parametrize("seed", range(3))
def test_it_is_torchs_sparsifier(seed):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 8))
    pruned = two_four.prune(network)
    sparsifier = WeightNormSparsifier(sparsity_level=1.0, sparse_block_shape=(1, 4), zeros_per_block=2)
    sparsifier.prepare(network, [{"tensor_fqn": "0.weight"}, {"tensor_fqn": "2.weight"}])
    sparsifier.step()
    for index in (0, 2):
        theirs = network[index].parametrizations.weight[0].mask.bool()
        assert torch.equal(pruned.masks[f"{index}.weight"], theirs)
        assert torch.equal(pruned.model[index].weight, network[index].weight)


@pytest.mark.filterwarnings("ignore::pytest_prunecal.errors.MeasurementWarning")
@pytest.mark.parametrize("name", MODELS)
def test_half_of_all_but_the_first_conv_becomes_zero_and_the_rest_stays(name, network_of, same_state):
    network = network_of(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    pruned = two_four.prune(network)
    assert same_state(network.state_dict(), before)
    weights = ranked_weights(network)
    for key, weight in pruned.model.state_dict().items():
        if key in pruned.masks:
            mask = pruned.masks[key]
            some = slice(0, 2)  # of the outputs: a plain loop over all takes half a minute
            assert torch.equal(mask[some], by_loop(weights[key][some].detach()))
            assert torch.equal(weight, before[key] * mask)
        else:
            assert torch.equal(weight, before[key])
    left = [key for key in weights if key not in pruned.masks]
    assert all(weights[key].shape[1] % 4 for key in left)
    pruned.verify(pruned.model)


def test_layers_that_do_not_fit_are_left_and_said():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(8, 4))
    with pytest.warns(MeasurementWarning, match=r"2:4 leaves 0\.weight, 1\.weight unpruned \(288 values\)"):
        pruned = two_four.prune(network)
    assert [*pruned.masks] == ["3.weight"]


def test_attention_and_transposed_convs_have_input_dimensions_of_their_own():
    attention = nn.MultiheadAttention(8, 2)
    pruned = two_four.prune(attention)
    assert {name: tuple(mask.shape) for name, mask in pruned.masks.items()} == {
        "in_proj_weight": (24, 8),
        "out_proj.weight": (8, 8),
    }
    conv = nn.ConvTranspose2d(4, 3, 2)
    (mask,) = two_four.prune(conv).masks.values()
    assert torch.equal(mask, by_loop(conv.weight.detach().transpose(0, 1)).transpose(0, 1))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Conv2d(3, 8, 3), "no layer has an input dimension that is a multiple of 4"),
        (nn.Bilinear(4, 4, 2), "no layer has an input dimension that is a multiple of 4"),
        (nn.ReLU(), "no layer has an input dimension that is a multiple of 4"),
    ],
)
def test_a_network_that_nothing_fits(network, message):
    with pytest.raises(PrunecalError, match=message):
        two_four.prune(network)


def test_weights_that_are_not_finite():
    network = nn.Linear(4, 1)
    network.weight.data[0, 1] = float("nan")
    with pytest.raises(PrunecalError, match="its training diverged"):
        two_four.prune(network)


def test_a_pattern_that_is_lost_is_told():
    pruned = two_four.prune(nn.Sequential(nn.Linear(8, 2)))
    pruned.verify(pruned.model)
    pruned.model[0].weight.data += 1
    with pytest.raises(PrunecalError, match=r"0\.weight lost its 2:4 pattern in fine-tuning"):
        pruned.verify(pruned.model)


def test_weights_of_layers_that_are_not_known_are_said_to_be_left_out():
    model = nn.Linear(4, 4)
    model.own = nn.Parameter(torch.ones(3, 4))
    with pytest.warns(MeasurementWarning, match=r"2:4 and sparsity leave own out \(12 values\)"):
        two_four.prune(model)
