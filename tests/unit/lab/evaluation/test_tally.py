"""A network's metrics over all test sets, against plain loops; a user's metrics of every kind among them."""

import math

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.evaluation.bootstrap import FEW_RESAMPLES, RESAMPLES, resampling
from pytest_prunecal.lab.evaluation.scored import Scores
from pytest_prunecal.lab.evaluation.tally import Tally
from pytest_prunecal.study.metric import CORRUPTED, METRICS, Metric, known

torch.set_num_threads(1)
BINS = 5


def logits_of(images, seed, right=2.0, classes=4):
    """Labels, and the logits of a network that is right rather often."""
    labels = torch.randint(classes, (images,), generator=torch.Generator().manual_seed(images))
    logits = torch.randn(images, classes, generator=torch.Generator().manual_seed(seed))
    logits[torch.arange(images), labels] += right
    return logits, labels


def tallied(metrics, sets, images=60, right=2.0):
    """A network on clean images and on some corrupted sets, by (corruption, severity)."""
    logits, labels = logits_of(images, 0, right)
    tally = Tally(metrics, labels, BINS)
    tally.clean(logits)
    for number, (corruption, severity) in enumerate(sets, start=1):
        tally.corrupted(corruption, severity, logits_of(images, number, right / 2)[0])
    return tally.result()


def score(name, logits, labels):
    return Scores(logits, labels, BINS).of(METRICS[name]).value


SETS = st.lists(
    st.tuples(st.sampled_from(["fog", "snow", "frost"]), st.integers(1, 5)),
    min_size=1,
    max_size=6,
    unique=True,
).map(sorted)


@hypothesis.settings(max_examples=30)
@hypothesis.given(SETS, st.floats(-2, 4))
def test_metrics_of_all_sets_are_those_of_a_plain_loop(sets, right):
    found = tallied(METRICS, sets, right=right)
    clean, labels = logits_of(60, 0, right)
    assert list(found.metrics) == ["accuracy", "ece", "nll", "brier", "mpc", "rpc", "corrupted_ece"]
    for name in ("accuracy", "ece", "nll", "brier"):
        assert found.metrics[name] == score(name, clean, labels)
    corrupted = [logits_of(60, number, right / 2)[0] for number in range(1, len(sets) + 1)]
    accuracies = [score("accuracy", logits, labels) for logits in corrupted]
    assert found.metrics["mpc"] == pytest.approx(math.fsum(accuracies) / len(sets), abs=1e-12)
    errors = [score("ece", logits, labels) for logits in corrupted]
    assert found.metrics["corrupted_ece"] == pytest.approx(math.fsum(errors) / len(sets), abs=1e-12)
    accuracy = found.metrics["accuracy"]
    kept = found.metrics["mpc"] / accuracy if accuracy else 0.0
    assert found.metrics["rpc"] == pytest.approx(kept, rel=1e-12)
    for (corruption, severity), logits in zip(sets, corrupted, strict=True):
        assert found.corrupted[corruption][str(severity)] == {
            name: score(name, logits, labels) for name in ("accuracy", "ece", "nll", "brier")
        }


def test_every_severity_weighs_the_same():
    # Two severities of one corruption, one of another: the mean over the three sets.
    found = tallied(METRICS, [("fog", 1), ("fog", 5), ("snow", 1)])
    levels = [scores["accuracy"] for one in found.corrupted.values() for scores in one.values()]
    assert found.metrics["mpc"] == pytest.approx(sum(levels) / 3)


def margin(logits, labels):
    """A user's paired metric: how far the label's logit lies above the mean of all."""
    return logits[torch.arange(len(labels)), labels] - logits.mean(1)


def largest(logits, labels, bins):  # noqa: ARG001 - what every metric's function takes
    """A user's metric that is no mean over images, and asks for the bins."""
    return float(logits.max()) + bins


OWN = (
    Metric("margin", function=margin, paired=True, higher_is_better=True),
    Metric("corrupted_margin", function=margin, where=CORRUPTED, paired=True, higher_is_better=True),
    Metric("kept_margin", quotient=("corrupted_margin", "margin"), paired=True, higher_is_better=True),
    Metric("largest", function=largest, higher_is_better=False),
    Metric("corrupted_largest", function=largest, where=CORRUPTED, higher_is_better=False),
)


def test_a_users_metrics_have_the_standing_of_the_built_in_ones():
    found = tallied(known(OWN), [("fog", 1), ("snow", 2)])
    (clean, labels), sets = logits_of(60, 0), [logits_of(60, number, 1.0)[0] for number in (1, 2)]
    margins = [margin(logits, labels).double() for logits in (clean, *sets)]
    expected = float((margins[1] + margins[2]).mean()) / 2
    assert found.metrics["margin"] == pytest.approx(float(margins[0].mean()))
    assert found.metrics["corrupted_margin"] == pytest.approx(expected)
    assert found.metrics["kept_margin"] == pytest.approx(expected / found.metrics["margin"])
    assert found.metrics["largest"] == float(clean.max()) + BINS
    tops = [float(logits.max()) for logits in sets]
    assert found.metrics["corrupted_largest"] == pytest.approx(sum(tops) / 2 + BINS)
    # Paired ones have a column and are told of every corrupted set; the others are as they are asked for.
    assert {"margin", "corrupted_margin"} <= set(found.sampled.columns)
    assert not {"kept_margin", "largest", "corrupted_largest"} & set(found.sampled.columns)
    assert torch.allclose(found.sampled.columns["corrupted_margin"].double(), (margins[1] + margins[2]) / 2)
    assert set(found.corrupted["fog"]["1"]) == {
        *("accuracy", "ece", "nll", "brier"),
        *("margin", "corrupted_largest"),
    }
    # All have a sampling error: by the resamples of everybody, or by calling the function again.
    resampled = found.sampled.replicates
    assert torch.allclose(resampled["margin"], resampling(60).double() @ margins[0])
    ratio = resampled["corrupted_margin"] / resampled["margin"]
    assert torch.allclose(resampled["kept_margin"], ratio)
    assert {name: len(resampled[name]) for name in ("kept_margin", "largest", "corrupted_largest")} == {
        "kept_margin": RESAMPLES,
        "largest": FEW_RESAMPLES,
        "corrupted_largest": FEW_RESAMPLES,
    }


def test_a_function_is_called_once_a_test_set():
    calls = []

    def counted(logits, labels):
        calls.append(len(logits))
        return margin(logits, labels)

    own = (
        Metric("one", function=counted, paired=True, higher_is_better=True),
        Metric("two", function=counted, where=CORRUPTED, paired=True, higher_is_better=True),
    )
    tallied(known(own), [("fog", 1), ("fog", 2)])
    assert calls == [60] * 3


@pytest.mark.parametrize(
    ("paired", "answer", "says"),
    [
        (
            True,
            0.5,
            "is paired, and its function returned a float; wanted what each image adds, a float tensor",
        ),
        (True, torch.zeros(59), "is paired, and its function returned a tensor of float32 and shape (59,); "),
        (
            True,
            torch.zeros(60, 1),
            "is paired, and its function returned a tensor of float32 and shape (60, 1)",
        ),
        (
            True,
            torch.zeros(60).bool(),
            "is paired, and its function returned a tensor of bool and shape (60,)",
        ),
        (
            False,
            torch.zeros(60),
            "its function returned a tensor of float32 and shape (60,), wanted a number",
        ),
        (False, "high", "its function returned a str, wanted a number"),
        (False, None, "its function returned a NoneType, wanted a number"),
    ],
)
def test_an_answer_of_another_kind_is_one_sentence(paired, answer, says):
    own = Metric("mine", function=lambda *_: answer, paired=paired, higher_is_better=True)
    with pytest.raises(PrunecalError) as error:
        tallied(known([own]), [("fog", 1)])
    assert str(error.value).startswith("metric 'mine'")
    assert says in str(error.value)
    assert len(str(error.value).splitlines()) == 1
