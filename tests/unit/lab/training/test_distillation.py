"""The distillation loss against its equation written out, and its gradient against the paper's."""

import math

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch.nn import functional

from pytest_prunecal.lab.training.distillation import distilled

quickly = hypothesis.settings(max_examples=40, deadline=None)


def softmax(row, temperature):
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def by_hand(logits, labels, taught, temperature, soft, smoothing):
    total = 0.0
    for row, label, teacher in zip(logits, labels, taught, strict=True):
        classes = len(row)
        target = [(1 - smoothing) * (n == label) + smoothing / classes for n in range(classes)]
        hard = -sum(t * math.log(p) for t, p in zip(target, softmax(row, 1), strict=True))
        pairs = zip(softmax(teacher, temperature), softmax(row, temperature), strict=True)
        total += (1 - soft) * hard + soft * temperature**2 * sum(q * math.log(q / p) for q, p in pairs)
    return total / len(labels)


@quickly
@hypothesis.given(
    seed=st.integers(0, 100),
    temperature=st.sampled_from([0.5, 1.0, 4.0, 20.0]),
    soft=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    smoothing=st.sampled_from([0.0, 0.1]),
)
def test_it_is_the_equation(seed, temperature, soft, smoothing):
    draw = torch.Generator().manual_seed(seed)
    logits, taught = (3 * torch.randn(5, 4, generator=draw, dtype=torch.float64) for _ in range(2))
    labels = torch.randint(0, 4, (5,), generator=draw)
    found = distilled(logits, labels, taught, temperature=temperature, soft=soft, label_smoothing=smoothing)
    expected = by_hand(logits.tolist(), labels.tolist(), taught.tolist(), temperature, soft, smoothing)
    assert float(found) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_its_gradient_is_the_papers():
    # Equation 2: dC/dz = (q_i - p_i) / T for the soft targets' cross-entropy; times T^2, over the images.
    draw = torch.Generator().manual_seed(0)
    logits, taught = (torch.randn(3, 5, generator=draw, dtype=torch.float64) for _ in range(2))
    logits.requires_grad_()
    distilled(logits, torch.tensor([0, 1, 2]), taught, temperature=3.0, soft=1.0).backward()
    expected = (functional.softmax(logits / 3, 1) - functional.softmax(taught / 3, 1)) / 3 * 9 / 3
    torch.testing.assert_close(logits.grad, expected.detach())
