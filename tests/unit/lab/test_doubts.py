"""Dense networks and data that look broken."""

from __future__ import annotations

import pytest
import torch

from pytest_prunecal.lab.datasets.base import Dataset
from pytest_prunecal.lab.doubts import doubts

IMAGES = torch.zeros(400, 3, 2, 2, dtype=torch.uint8)
BALANCED = torch.arange(400) % 4


def data(train=BALANCED, test=BALANCED, classes=4):
    return Dataset("mine", IMAGES, train, IMAGES, test, classes)


# Of 400 images of four classes guessing is right on 100, and seldom on more than 117.
@pytest.mark.parametrize(("accuracy", "doubted"), [(0.1, True), (0.25, True), (0.29, True), (0.3, False)])
def test_a_network_at_chance(accuracy, doubted):
    found = list(doubts(data(), accuracy))
    assert [text.partition(", and")[0] for text in found] == doubted * [
        f"the dense network is right on {accuracy:.1%} of the test images"
    ]


def test_chance_is_the_most_frequent_class():
    mostly = torch.where(torch.arange(400) < 360, 0, BALANCED)
    (text,) = doubts(data(test=mostly), 0.92)
    assert "naming their most frequent class always is on 92.5%" in text
    assert not list(doubts(data(test=mostly), 0.99))


def test_one_class_of_test_images_tells_nothing():
    assert not list(doubts(data(test=torch.zeros(400, dtype=torch.int64)), 1.0))


@pytest.mark.parametrize(
    ("labels", "classes", "says"),
    [
        (BALANCED + 1, 5, "no training image is of class 0, of classes 0 to 4; labels count from 0"),
        (
            BALANCED * 2,
            8,
            "no training image is of class 1 and 3 more, of classes 0 to 7; labels count from 0",
        ),
    ],
)
def test_a_class_without_training_images(labels, classes, says):
    assert list(doubts(data(train=labels, test=labels, classes=classes), 0.9)) == [f"data set 'mine': {says}"]
