"""Sampling errors: against formulas, against slow loops, and of metrics of one's own."""

import math

import numpy as np
import pytest
import torch

from pytest_prunecal.lab.evaluation.bootstrap import (
    FEW_RESAMPLES,
    RESAMPLES,
    Sampled,
    errors_of,
    resampled,
    resampling,
)
from pytest_prunecal.lab.evaluation.scored import Scores
from pytest_prunecal.lab.evaluation.tally import Tally
from pytest_prunecal.study.metric import METRICS

torch.set_num_threads(1)
BINS = 7


def scores(logits, labels, bins):
    found = Scores(logits, labels, bins)
    return {name: found.of(METRICS[name]).value for name in ("accuracy", "ece", "nll", "brier")}


def logits_of(images, seed, right=2.0, classes=5):
    """Labels, and the logits of a network that is right rather often."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (images,), generator=torch.Generator().manual_seed(99))
    logits = torch.randn(images, classes, generator=draw)
    logits[torch.arange(images), labels] += right
    return logits, labels


def sampled(images=300, seed=0, corrupted=2):
    logits, labels = logits_of(images, seed)
    tally = Tally(METRICS, labels, BINS)
    tally.clean(logits)
    for number in range(corrupted):
        tally.corrupted("fog", number, logits_of(images, seed + 100 + number, right=1.0)[0])
    return tally.result().sampled


def counts(images):
    """How often each image is in each resample."""
    return (resampling(images) * images).round().long().numpy()


def test_resamples_are_as_large_as_the_test_set_and_always_the_same():
    drawn = counts(123)
    assert drawn.shape == (RESAMPLES, 123)
    assert (drawn.sum(1) == 123).all()
    assert drawn.mean() == pytest.approx(1)
    assert drawn.var() == pytest.approx(1 - 1 / 123, rel=0.05)  # binomial
    resampling.cache_clear()
    assert (counts(123) == drawn).all()


def test_means_over_images_are_the_metrics():
    logits, labels = logits_of(300, 0)
    found, clean = sampled(), scores(logits, labels, BINS)
    columns = found.columns
    assert list(columns) == ["accuracy", "ece", "nll", "brier", "mpc", "corrupted_ece"]
    assert {(column.shape, column.dtype) for column in columns.values()} == {((300,), torch.float32)}
    for name in ("accuracy", "nll", "brier"):
        assert float(columns[name].mean()) == pytest.approx(clean[name], abs=1e-6)
    levels = [scores(logits_of(300, 100 + n, right=1.0)[0], labels, BINS) for n in range(2)]
    assert float(columns["mpc"].mean()) == pytest.approx(np.mean([one["accuracy"] for one in levels]))
    # Of the calibration errors it is a little less: gaps that may be nothing count for less.
    for name, error in (("ece", clean["ece"]), ("corrupted_ece", np.mean([one["ece"] for one in levels]))):
        assert 0.5 * error < float(columns[name].mean()) <= error + 1e-6


@pytest.mark.parametrize("images", [100, 1000])
def test_errors_of_means_are_the_textbooks(images):
    logits, labels = logits_of(images, 1)
    found = sampled(images, 1)
    errors = errors_of([found])
    columns = {name: column.double() for name, column in found.columns.items()}
    accuracy = scores(logits, labels, BINS)["accuracy"]
    assert errors["accuracy"] == pytest.approx(math.sqrt(accuracy * (1 - accuracy) / images), rel=0.12)
    for name in ("nll", "brier", "mpc"):
        assert errors[name] == pytest.approx(float(columns[name].std()) / math.sqrt(images), rel=0.12)
        assert float(found.replicates[name].mean()) == pytest.approx(float(columns[name].mean()), rel=0.02)


def slow_ece(confidence, right, bins, weights):
    """ECE of a resample, its bins those of the whole test set."""
    order = sorted(range(len(confidence)), key=lambda image: confidence[image])
    total = 0.0
    for members in np.array_split(np.array(order), bins):
        total += abs(sum(weights[image] * (confidence[image] - right[image]) for image in members))
    return total / len(confidence)


def confidences(logits, labels):
    exponents = np.exp(logits.double().numpy())
    probability = exponents / exponents.sum(1, keepdims=True)
    return probability.max(1), (probability.argmax(1) == labels.numpy()).astype(float)


def test_the_resampled_ece_is_that_of_a_slow_loop():
    logits, labels = logits_of(90, 3)
    found = sampled(90, 3)
    for replicate, weights in list(enumerate(counts(90)))[:25]:
        expected = slow_ece(*confidences(logits, labels), BINS, weights)
        assert float(found.replicates["ece"][replicate]) == pytest.approx(expected, abs=1e-5)


def test_the_resampled_corrupted_ece_is_the_mean_over_sets_of_the_same_images():
    found, drawn = sampled(90, 3), counts(90)
    for replicate in range(10):
        errors = [
            slow_ece(*confidences(*logits_of(90, 103 + n, right=1.0)), BINS, drawn[replicate])
            for n in range(2)
        ]
        assert float(found.replicates["corrupted_ece"][replicate]) == pytest.approx(np.mean(errors), abs=1e-5)


def test_the_error_of_the_ece_is_that_of_another_bootstrap():
    logits, labels = logits_of(400, 5)
    confidence, right = confidences(logits, labels)
    random = np.random.default_rng(7)
    draws = [np.bincount(random.integers(400, size=400), minlength=400) for _ in range(400)]
    slow = np.std([slow_ece(confidence, right, BINS, weights) for weights in draws], ddof=1)
    assert errors_of([sampled(400, 5)])["ece"] == pytest.approx(slow, rel=0.15)


def test_an_images_versions_are_resampled_together():
    # Right under corruption wherever right at all: the share of what is kept does not vary at all.
    logits, labels = logits_of(200, 2)
    tally = Tally(METRICS, labels, BINS)
    tally.clean(logits)
    tally.corrupted("fog", 1, logits)
    found = tally.result().sampled
    assert torch.allclose(found.replicates["rpc"], torch.ones(RESAMPLES).double(), atol=1e-6)
    assert errors_of([found])["rpc"] == pytest.approx(0, abs=1e-6)


def test_a_network_that_is_never_right_has_finite_errors():
    labels = torch.zeros(50, dtype=torch.int64)
    logits = torch.zeros(50, 3)
    logits[:, 1] = 500.0
    tally = Tally(METRICS, labels, BINS)
    tally.clean(logits)
    tally.corrupted("fog", 1, logits)
    found = tally.result().sampled
    assert all(column.isfinite().all() for column in found.columns.values())
    errors = errors_of([found])
    assert all(math.isfinite(error) for error in errors.values())
    assert errors["accuracy"] == errors["rpc"] == 0


@pytest.mark.parametrize("images", [1, 2, 5])
def test_fewer_images_than_bins(images):
    found = sampled(images, 4)
    assert all(column.isfinite().all() for column in found.columns.values())
    assert all(replicates.isfinite().all() for replicates in found.replicates.values())


def test_networks_tested_on_the_same_images_share_their_luck():
    one = sampled(300, 1)
    assert errors_of([one, one]) == pytest.approx(errors_of([one]))
    other = errors_of([one, sampled(300, 2)])
    assert all(other[name] < errors_of([one])[name] * 1.2 for name in other)


def test_a_metric_without_an_error_under_one_seed_has_none():
    own = {"mine": torch.tensor([0.4, 0.6])}
    both = [Sampled({}, {"shared": torch.tensor([0.1, 0.3]), **more}) for more in (own, {})]
    assert list(errors_of(both)) == list(errors_of(both[::-1])) == ["shared"]


def first_is_right(logits, labels):
    return float((logits.argmax(1) == labels).double().mean())


def test_a_metric_of_ones_own():
    logits, labels = logits_of(300, 1)
    found = resampled(first_is_right, logits, labels)
    assert (found.shape, found.dtype) == ((FEW_RESAMPLES,), torch.float64)
    errors = errors_of([Sampled({}, {"mine": found})])
    assert errors["mine"] == pytest.approx(errors_of([sampled(300, 1)])["accuracy"], rel=0.35)
    assert torch.equal(resampled(first_is_right, logits, labels), found)


@pytest.mark.parametrize("value", [None, "high", math.nan, math.inf, "1/0"])
def test_a_metric_without_a_value_on_some_resamples_has_no_error(value):
    calls = []

    def failing_once(logits, labels):
        calls.append(len(logits) / len(labels))
        if len(calls) < FEW_RESAMPLES:
            return 0.5
        return 1 / 0 if value == "1/0" else value

    assert resampled(failing_once, *logits_of(300, 1)) is None
    assert calls == [1.0] * FEW_RESAMPLES


def test_a_metric_may_keep_its_hands_on_what_it_is_given():
    def spoiling(logits, labels):
        logits.zero_()
        labels.zero_()
        return 0.5

    logits, labels = logits_of(30, 1)
    before = logits.clone()
    assert resampled(spoiling, logits, labels) is not None
    assert torch.equal(logits, before)
