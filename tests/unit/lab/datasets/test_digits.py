"""The embedded digits: scikit-learn's, split and enlarged, the same for ever."""

import numpy as np
import pytest
import torch

from pytest_prunecal.lab.datasets.digits import digits, enlarge, read_embedded, split

# What the shipped baselines were measured on. A change here makes every one of them incomparable.
DIGITS_16 = "a86f689ef95b55790e65108412c1f0cee212d479db3f70223616bbd8c0f0f258"


def test_the_embedded_digits_are_scikit_learns():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    images, labels = read_embedded()
    reference = sklearn_datasets.load_digits()
    assert images.dtype == labels.dtype == np.uint8
    np.testing.assert_array_equal(images, reference.images)
    np.testing.assert_array_equal(labels, reference.target)


def test_the_digits_never_change():
    assert digits(None).digest == digits(None, size=16).digest == DIGITS_16


def test_the_digits_split_is_balanced_and_disjoint(assert_balanced):
    images, labels = read_embedded()
    train, test = split(labels)
    assert sorted([*train, *test]) == list(range(1797))
    assert np.bincount(labels[test]).tolist() == [80] * 10
    assert (len(train), len(test)) == (997, 800)
    pixels = {part: {images[index].tobytes() for index in part} for part in (tuple(train), tuple(test))}
    assert not set.intersection(*pixels.values())
    assert_balanced(labels[train], 10)
    assert_balanced(labels[test], 10)

    dataset = digits(None, size=8)
    np.testing.assert_array_equal(dataset.train_labels, labels[train])
    np.testing.assert_array_equal(dataset.test_labels, labels[test])
    np.testing.assert_array_equal(dataset.test_images[:, 1], enlarge(images[test], 8))


def test_digits_at_their_own_size_are_only_scaled():
    images, _ = read_embedded()
    np.testing.assert_array_equal(enlarge(images, 8), np.floor(images * (255 / 16) + 0.5))


@pytest.mark.parametrize("size", [8, 9, 16, 28, 32, 75, 224])
def test_enlarging_is_bilinear_interpolation(size):
    images = read_embedded()[0][:40]
    exact = torch.nn.functional.interpolate(
        torch.from_numpy(images)[:, None].double(), (size, size), mode="bilinear", align_corners=False
    )
    # Half a level is the one rounding; a hair more is float64's own.
    assert np.abs(enlarge(images, size) - exact[:, 0].numpy() * 255 / 16).max() <= 0.5 + 1e-9


def test_enlarging_keeps_black_and_white():
    for size in (8, 13, 16, 224):
        assert set(np.unique(enlarge(np.full((1, 8, 8), 16, np.uint8), size))) == {255}
        assert set(np.unique(enlarge(np.zeros((1, 8, 8), np.uint8), size))) == {0}


@pytest.mark.parametrize("size", [7, 225, 16.0, "16", True, None])
def test_digits_refuse_a_wrong_size(says, size):
    with says("digits", "size", repr(size), "8 to 224"):
        digits(None, size=size)
