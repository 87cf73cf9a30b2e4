"""ECE and the other scores, against their definitions as plain loops, and against torchmetrics."""

import math
import warnings

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch.nn import functional

from pytest_prunecal.lab.evaluation.scored import Scores
from pytest_prunecal.lab.metrics.calibration import ece
from pytest_prunecal.lab.metrics.scores import accuracy, brier, nll
from pytest_prunecal.study.metric import METRICS

torch.set_num_threads(1)
quickly = hypothesis.settings(max_examples=80)


def scores(logits, labels, bins):
    """The scores of one test set, as reports show them."""
    found = Scores(logits, labels, bins)
    return {name: found.of(METRICS[name]).value for name in ("accuracy", "ece", "nll", "brier")}


def softmax(row):
    """Of one row, by hand."""
    top = max(row)
    powers = [math.exp(value - top) for value in row]
    return [power / sum(powers) for power in powers]


def definition(logits, labels, bins):
    """The issue's definition: sorted, split as numpy.array_split does, ties sharing their mean accuracy."""
    probabilities = torch.softmax(torch.as_tensor(logits).double(), dim=1).tolist()
    samples = []
    for row, label in zip(probabilities, labels.tolist(), strict=True):
        confidence = max(row)
        samples.append((confidence, float(row.index(confidence) == label)))
    samples.sort(key=lambda sample: sample[0])
    shared = {}
    for confidence, hit in samples:
        shared.setdefault(confidence, []).append(hit)
    total = 0.0
    for part in np.array_split(np.arange(len(samples)), bins):
        if len(part) == 0:
            continue
        confidence = math.fsum(samples[index][0] for index in part) / len(part)
        hits = [math.fsum(shared[samples[index][0]]) / len(shared[samples[index][0]]) for index in part]
        total += len(part) / len(samples) * abs(confidence - math.fsum(hits) / len(part))
    return total


def case(seed, count, classes, scale, dtype=torch.float32, tied=0.0):
    """Random logits, some of them several times, with labels that are right about as often as not."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=draw) * scale
    if tied:
        chosen = torch.randint(0, max(1, int(count * (1 - tied))), (count,), generator=draw)
        logits = logits[chosen]
    labels = torch.randint(0, classes, (count,), generator=draw)
    right = torch.rand(count, generator=draw) < 0.5
    labels = torch.where(right, logits.argmax(dim=1), labels)
    return logits.to(dtype), labels


def calibrated(count, seed, classes=10):
    """A model whose confidences are true by construction, right on 88 % as networks on CIFAR-10 are."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=draw) * 9
    labels = torch.multinomial(torch.softmax(logits.double(), dim=1), 1, generator=draw)[:, 0]
    return logits, labels


cases = st.builds(
    case,
    seed=st.integers(0, 2**32),
    count=st.integers(1, 120),
    classes=st.integers(2, 12),
    scale=st.sampled_from([0.0, 0.1, 1.0, 5.0, 100.0]),
    dtype=st.sampled_from([torch.float16, torch.float32, torch.float64]),
    tied=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
)


@quickly
@hypothesis.given(cases, st.integers(1, 40))
def test_ece_is_its_definition(samples, bins):
    assert ece(*samples, bins) == pytest.approx(definition(*samples, bins), abs=1e-9)


@quickly
@hypothesis.given(cases, st.integers(1, 40), st.randoms(use_true_random=False))
def test_order_does_not_change_a_bit(samples, bins, random):
    logits, labels = samples
    order = list(range(len(labels)))
    random.shuffle(order)
    assert ece(logits[order], labels[order], bins) == ece(logits, labels, bins)


@quickly
@hypothesis.given(cases, st.integers(1, 40))
def test_bounds(samples, bins):
    assert 0 <= ece(*samples, bins) <= 1
    for function, largest in ((accuracy, 1), (nll, math.inf), (brier, 2)):
        column = function(*samples)
        assert (column.shape, column.dtype) == (samples[1].shape, torch.float64)
        assert ((column >= 0) & (column <= largest)).all()


def test_certainty_that_is_always_wrong_is_the_worst():
    logits, labels = torch.tensor([[0.0, 2000.0]] * 7), torch.zeros(7, dtype=torch.long)
    assert ece(logits, labels) == 1.0
    assert ece(logits, labels + 1) == 0.0


def test_ties_share_their_accuracy():
    # Confidence 0.5 for all, half of them right: calibrated, although the wrong ones fill the bins first.
    logits, labels = torch.zeros(20, 2), torch.tensor([1] * 10 + [0] * 10)
    for bins in (1, 2, 3, 10, 20, 50):
        assert ece(logits, labels, bins) == 0.0
    unshared = sum(abs(0.5 - hits) for hits in [0.0] * 10 + [1.0] * 10) / 20
    assert unshared == 0.5


def test_a_tie_that_crosses_a_bin():
    # Confidences 0.5 0.5 0.5 0.9; right: no, no, yes, yes. Two bins of two; the ties' accuracy is 1/3.
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.9, 0.1]], dtype=torch.float64))
    labels = torch.tensor([1, 1, 0, 0])
    expected = 0.5 * abs(0.5 - 1 / 3) + 0.5 * abs((0.5 + 0.9) / 2 - (1 / 3 + 1) / 2)
    assert ece(logits, labels, 2) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("bins", [1, 2, 10, 1000])
def test_one_sample(bins):
    logits = torch.log(torch.tensor([[0.8, 0.2]], dtype=torch.float64))
    assert ece(logits, torch.tensor([0]), bins) == pytest.approx(0.2, abs=1e-12)
    assert ece(logits, torch.tensor([1]), bins) == pytest.approx(0.8, abs=1e-12)


def test_more_bins_than_samples_compare_each_sample_alone():
    logits, labels = case(3, 7, 4, 2.0)
    confidence, predicted = torch.softmax(logits.double(), dim=1).max(dim=1)
    alone = (confidence - (predicted == labels).double()).abs().mean()
    assert ece(logits, labels, 7) == pytest.approx(float(alone), abs=1e-12)
    assert ece(logits, labels, 500) == pytest.approx(float(alone), abs=1e-12)


def test_bins_are_of_equal_mass():
    # Two bins, 3 + 2 samples as numpy splits five: with 2 + 3 the result would be another one.
    probabilities = torch.tensor([0.55, 0.6, 0.65, 0.9, 0.95], dtype=torch.float64)
    logits = torch.log(torch.stack([probabilities, 1 - probabilities], dim=1))
    labels = torch.tensor([1, 0, 0, 1, 0])
    expected = (abs(0.55 + 0.6 + 0.65 - 2) + abs(0.9 + 0.95 - 1)) / 5
    other = (abs(0.55 + 0.6 - 1) + abs(0.65 + 0.9 + 0.95 - 2)) / 5
    assert ece(logits, labels, 2) == pytest.approx(expected, abs=1e-12)
    assert abs(expected - other) > 0.01


def test_the_softmax_is_taken_in_float64():
    # Confidences so near to one another, and to one, that float32 would tie them.
    logits, labels = torch.tensor([[18.0, 0.0], [18.1, 0.0]]), torch.tensor([0, 1])
    assert len(torch.softmax(logits, dim=1).max(dim=1).values.unique()) == 1
    assert ece(logits, labels, 2) == pytest.approx(definition(logits, labels, 2), abs=1e-15)
    assert ece(logits, labels, 2) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.bfloat16])
def test_narrow_types_mean_the_numbers_they_hold(dtype):
    logits, labels = case(1, 500, 10, 4.0, dtype)
    assert ece(logits, labels) == ece(logits.double(), labels)


def test_inputs_are_left_as_they_are():
    logits, labels = case(1, 50, 5, 1.0)
    logits.requires_grad_()
    copies = logits.detach().clone(), labels.clone()
    scores(logits.detach(), labels, 10)
    ece(logits, labels)
    assert torch.equal(logits, copies[0])
    assert torch.equal(labels, copies[1])


@pytest.mark.parametrize(("count", "center", "spread"), [(10_000, 0.005, 0.002), (1_000, 0.016, 0.005)])
def test_a_calibrated_model_measures_what_sampling_alone_gives(count, center, spread):
    assert 0.85 < accuracy(*calibrated(10_000, 0)).mean() < 0.9
    values = [ece(*calibrated(count, seed)) for seed in range(40)]
    assert np.mean(values) == pytest.approx(center, abs=spread)
    assert np.mean([abs(value - center) <= 2 * spread for value in values]) > 0.8


def test_overconfidence_shows():
    logits, labels = calibrated(5_000, 0)
    assert ece(logits, labels) < 0.02
    assert ece(3 * logits, labels) > 0.06
    assert ece(logits / 3, labels) > 0.08


@quickly
@hypothesis.given(st.integers(0, 2**32), st.integers(1, 30), st.integers(2, 10))
def test_bins_that_are_of_equal_width_too_agree_with_torchmetrics(seed, each, bins):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchmetrics.functional.classification import multiclass_calibration_error

    draw, classes = torch.Generator().manual_seed(seed), 12
    # As many confidences in each tenth of (0, 1), say: then bins of equal mass are bins of equal width.
    inside = torch.rand(bins, each, generator=draw, dtype=torch.float64) * 0.98 + 0.01
    confidence = ((torch.arange(bins)[:, None] + inside) / bins).clamp(min=1 / classes + 1e-4).flatten()
    hypothesis.assume(1 / classes + 1e-4 < 1 / bins)
    probabilities = ((1 - confidence) / (classes - 1))[:, None].repeat(1, classes)
    probabilities[:, 3] = confidence
    labels = torch.where(torch.rand(len(confidence), generator=draw) < confidence, 3, 5)
    order = torch.randperm(len(labels), generator=draw)
    expected = multiclass_calibration_error(probabilities, labels, classes, n_bins=bins, norm="l1")
    found = ece(torch.log(probabilities)[order], labels[order], bins)
    assert found == pytest.approx(float(expected), abs=1e-5)


@quickly
@hypothesis.given(cases)
def test_scores_are_their_definitions(samples):
    logits, labels = samples
    rows, count = logits.double().tolist(), len(labels)
    found = scores(logits, labels, 10)
    assert list(found) == ["accuracy", "ece", "nll", "brier"]
    assert {type(value) for value in found.values()} == {float}
    right = sum(row.index(max(row)) == label for row, label in zip(rows, labels.tolist(), strict=True))
    assert found["accuracy"] == right / count
    squares = [
        (share - (index == label)) ** 2
        for row, label in zip(rows, labels.tolist(), strict=True)
        for index, share in enumerate(softmax(row))
    ]
    assert found["brier"] == pytest.approx(math.fsum(squares) / count, abs=1e-9)
    expected = functional.cross_entropy(logits.double(), labels)
    assert found["nll"] == pytest.approx(float(expected), abs=1e-9)
    assert found["ece"] == ece(logits, labels, 10)


def test_brier_agrees_with_scikit_learn():
    from sklearn.metrics import brier_score_loss

    logits, labels = case(5, 400, 2, 1.5)
    likely = torch.softmax(logits.double(), dim=1)[:, 1].numpy()
    # scikit-learn counts one of the two classes, the multi-class score both.
    expected = 2 * brier_score_loss(labels.numpy(), likely)
    assert float(brier(logits, labels).mean()) == pytest.approx(expected, abs=1e-12)


def test_scores_of_certain_networks_are_finite():
    logits, labels = torch.tensor([[1e4, 0.0], [0.0, 1e4]]), torch.tensor([0, 0])
    assert scores(logits, labels, 10) == {"accuracy": 0.5, "ece": 0.5, "nll": 5000.0, "brier": 1.0}
