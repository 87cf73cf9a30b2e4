"""Evaluation: what is predicted, and how the scores of many test sets become a cell's metrics."""

import warnings

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab.evaluation.bootstrap import Sampled
from pytest_prunecal.lab.evaluation.evaluate import Evaluated, TestSet, evaluate, predict, summary
from pytest_prunecal.lab.forward import Forward, Normalisation
from pytest_prunecal.lab.metrics.scores import scores

NORMALISATION = Normalisation((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
FORWARD = Forward(NORMALISATION)
CPU = torch.device("cpu")
torch.set_num_threads(1)


def network():
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8 * 16, 5)
    )
    for _ in range(3):
        layers(torch.randn(16, 3, 6, 6))
    return layers


def data(count=50, seed=0):
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 6, 6), dtype=torch.uint8, generator=draw)
    return images, torch.randint(0, 5, (count,), generator=draw)


values = st.floats(0, 1)
score_sets = st.fixed_dictionaries({"accuracy": values, "ece": values, "nll": values, "brier": values})
corrupted_sets = st.dictionaries(
    st.sampled_from(["fog", "snow", "frost", "jpeg_compression"]),
    st.dictionaries(st.sampled_from("12345"), score_sets, min_size=1),
    min_size=1,
)


def evaluated(clean, corrupted):
    return Evaluated(clean, corrupted, torch.empty(0), Sampled(torch.empty(6, 0), {}))


@hypothesis.settings(max_examples=50)
@hypothesis.given(score_sets, corrupted_sets)
def test_the_summary_is_that_of_a_plain_loop(clean, corrupted):
    accuracy, error, count = 0.0, 0.0, 0
    for levels in corrupted.values():
        for found in levels.values():
            accuracy, error, count = accuracy + found["accuracy"], error + found["ece"], count + 1
    metrics = summary(evaluated(clean, corrupted))
    assert metrics.keys() == {*clean, "mpc", "rpc", "corrupted_ece"}
    assert {name: metrics[name] for name in clean} == clean
    assert metrics["mpc"] == pytest.approx(accuracy / count, abs=1e-12)
    assert metrics["corrupted_ece"] == pytest.approx(error / count, abs=1e-12)
    expected = accuracy / count / clean["accuracy"] if clean["accuracy"] else 0.0
    assert metrics["rpc"] == pytest.approx(expected, rel=1e-12)


def test_every_severity_weighs_the_same():
    # Two severities of one corruption, one of another: the mean over the three sets.
    level = {"ece": 0.0, "nll": 0.0, "brier": 0.0}
    corrupted = {
        "fog": {"1": {"accuracy": 0.9, **level}, "5": {"accuracy": 0.3, **level}},
        "snow": {"1": {"accuracy": 0.6, **level}},
    }
    metrics = summary(evaluated({"accuracy": 0.8, **level}, corrupted))
    assert metrics["mpc"] == pytest.approx(0.6)
    assert metrics["rpc"] == pytest.approx(0.75)


@pytest.mark.parametrize("batch", [1, 7, 49, 50, 64])
def test_predictions_do_not_depend_on_the_batch(batch):
    model, (images, _) = network().eval(), data()
    whole = predict(model, images, FORWARD, 50, CPU)
    parts = predict(model, images, FORWARD, batch, CPU)
    assert (parts.dtype, parts.shape) == (torch.float32, (50, 5))
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)
    one_by_one = torch.stack([model(NORMALISATION.apply(image[None]))[0] for image in images])
    torch.testing.assert_close(parts, one_by_one.detach(), rtol=0, atol=1e-5)


def test_evaluation():
    model, (images, labels) = network().train(), data()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    darker = [
        TestSet("fog", 1, images // 2),
        TestSet("fog", 3, images // 4),
        TestSet("snow", 1, 255 - images),
    ]
    found = evaluate(model, images, iter(darker), labels, FORWARD, 16, 10, CPU)
    assert not model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert {name: list(levels) for name, levels in found.corrupted.items()} == {
        "fog": ["1", "3"],
        "snow": ["1"],
    }
    logits = predict(model, images, FORWARD, 50, CPU)
    torch.testing.assert_close(found.logits, logits, rtol=0, atol=1e-5)
    assert found.clean == scores(found.logits, labels, 10)
    for test_set in darker:
        expected = scores(predict(model, test_set.images, FORWARD, 16, CPU), labels, 10)
        assert found.corrupted[test_set.corruption][str(test_set.severity)] == expected


def test_the_users_own_metrics_may_need_gradients():
    # Temperature scaling, the usual thing to try on logits.
    (images, labels), temperature = data(), nn.Parameter(torch.ones(()))
    logits = predict(network().eval(), images, FORWARD, 16, CPU)
    nn.functional.cross_entropy(logits * temperature, labels).backward()
    assert temperature.grad.isfinite()
    assert not logits.requires_grad


def test_half_precision_networks_give_float32_logits():
    images, _ = data(4)
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 5)).eval()

    class Half(nn.Module):
        def forward(self, inputs):
            return model(inputs).half()

    assert predict(Half(), images, FORWARD, 4, CPU).dtype == torch.float32


class Small(nn.Module):
    """A network on a device that has room for so many images."""

    def __init__(self, room):
        super().__init__()
        self.room, self.inner, self.passes = room, network(), []

    def forward(self, inputs):
        self.passes.append(len(inputs))
        if len(inputs) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.inner(inputs)


@pytest.mark.parametrize(
    ("room", "batch", "passes"),
    [
        (20, 64, [50, 25, 12, 12, 12, 12, 2]),
        (6, 7, [7, 3] + [3] * 15 + [2]),
        (1, 3, [3, 1] + [1] * 49),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_until_it_does(room, batch, passes):
    model, (images, _) = Small(room).eval(), data()
    fitting = passes[len([size for size in passes if size > room])]
    with pytest.warns(
        MeasurementWarning, match=f"^evaluated {fitting} images at a time instead of {batch}, "
    ):
        found = predict(model, images, FORWARD, batch, CPU)
    assert model.passes == passes
    assert torch.equal(found, predict(model.inner, images, FORWARD, fitting, CPU))


def test_a_batch_that_fits_is_left_alone():
    model, (images, _) = Small(50).eval(), data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict(model, images, FORWARD, 64, CPU)
    assert model.passes == [50]


def test_no_room_for_one_image_is_one_clear_sentence():
    model, (images, _) = Small(0).eval(), data()
    with pytest.raises(
        PrunecalError, match=r"^out of memory on cpu while evaluating one image .* smaller -n"
    ):
        predict(model, images, FORWARD, 4, CPU)
    assert model.passes == [4, 2, 1]


def test_other_errors_of_a_network_are_its_own():
    class Broken(nn.Module):
        def forward(self, inputs):
            raise RuntimeError(f"no good: {len(inputs)}")

    with pytest.raises(RuntimeError, match="no good: 4"):
        predict(Broken(), data()[0], FORWARD, 4, CPU)
