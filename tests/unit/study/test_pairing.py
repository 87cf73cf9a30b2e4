"""Two finished networks image by image, against numpy."""

import math

import numpy as np
import pytest
import torch

from pytest_prunecal.lab.evaluation.encoded import encode
from pytest_prunecal.study.image_results import ImageResults
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.pairing import error_of_mean, pair_finished

RANDOM = np.random.default_rng(3)


def side(images=400, shift=0.0):
    """A network's results: accuracy, mPC and a column of an ECE, which does not average to the metric."""
    right = (RANDOM.random(images) < 0.9 - shift).astype(np.float32)
    corrupted = (right * RANDOM.random(images)).astype(np.float32)
    gaps = RANDOM.normal(0.01, 0.1, images).astype(np.float32)
    columns = {"accuracy": right, "mpc": corrupted, "ece": gaps}
    metrics = {
        "accuracy": float(right.mean()),
        "mpc": float(corrupted.mean()),
        "ece": abs(float(gaps.mean())),
    }
    metrics["rpc"] = metrics["mpc"] / metrics["accuracy"]
    encoded = encode({name: torch.from_numpy(values) for name, values in columns.items()})
    return ImageResults(metrics, {}, "digest", {}, encoded, encoded)


def test_errors_are_those_of_numpy():
    ours, theirs = RANDOM.normal(size=300), RANDOM.normal(size=300)
    expected = np.std(ours - theirs, ddof=1) / math.sqrt(300)
    assert error_of_mean(list(ours), list(theirs)) == pytest.approx(expected, rel=1e-12)
    assert error_of_mean([1.0, 2.0], [0.0, 1.0]) == 0
    assert math.isnan(error_of_mean([1.0], [0.0]))


def test_each_metric_of_both_sides_has_one_and_a_quotient_by_the_delta_method():
    ours, theirs = side(), side(shift=0.1)
    found = pair_finished(ours, theirs, METRICS)
    assert found.paired.keys() == {"accuracy", "mpc", "rpc", "ece"}
    columns = [{name: np.array(one.cell.values(name)) for name in one.cell.names} for one in (ours, theirs)]
    for name in ("accuracy", "mpc", "ece"):
        expected = np.std(columns[0][name] - columns[1][name], ddof=1) / math.sqrt(400)
        assert found.paired[name] == pytest.approx(expected, rel=1e-9)
    # An independent reference: the bootstrap of the two quotients on the same resampled images.
    drawn = RANDOM.integers(400, size=(4000, 400))
    quotients = [one["mpc"][drawn].mean(1) / one["accuracy"][drawn].mean(1) for one in columns]
    assert found.paired["rpc"] == pytest.approx(np.std(quotients[0] - quotients[1]), rel=0.05)


def test_another_number_of_images_is_not_paired():
    found = pair_finished(side(), side(images=300), METRICS)
    assert not found.paired
    assert "another number of images" in found.unpaired


def test_a_network_that_is_never_right_has_a_quotient_all_the_same():
    images = side()
    zero = encode({name: torch.zeros(400) for name in ("accuracy", "mpc")})
    never = ImageResults({"accuracy": 0.0, "mpc": 0.0, "rpc": 0.0}, {}, "d", {}, zero, zero)
    assert all(math.isfinite(one) for one in pair_finished(never, images, METRICS).paired.values())
