"""What every data set is: its checks, its digest, its prefixes."""

import hashlib

import numpy as np
import pytest
import torch


def test_a_dataset_makes_its_tensors_contiguous_and_prints_sizes_only(small):
    nhwc = torch.zeros(6, 5, 5, 3, dtype=torch.uint8)
    dataset = small(train_images=nhwc.permute(0, 3, 1, 2))
    assert dataset.train_images.is_contiguous()
    assert repr(dataset) == "Dataset('small', 6 train, 4 test, 3x5x5, 3 classes)"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": 1}, ("classes is 1", "at least 2")),
        ({"classes": True}, ("classes is True",)),
        (
            {"classes": 2, "train_labels": torch.arange(6) % 3},
            ("train labels run from 0 to 2", "wanted 0 to 1"),
        ),
        ({"test_labels": torch.tensor([0, 1, -1, 2])}, ("test labels run from -1 to 2",)),
        ({"train_labels": torch.arange(5) % 3}, ("5 train labels for 6 train images",)),
        ({"train_labels": torch.zeros(6)}, ("train_labels is float32", "wanted int64")),
        ({"train_labels": torch.zeros(6, 1, dtype=torch.int64)}, ("train_labels has shape (6, 1)", "(N,)")),
        ({"train_images": np.zeros((6, 3, 5, 5), np.uint8)}, ("train_images is a ndarray", "uint8 tensor")),
        ({"test_images": torch.full((4, 3, 5, 5), float("nan"))}, ("test_images is float32", "wanted uint8")),
        ({"test_images": torch.zeros(4, 1, 5, 5, dtype=torch.uint8)}, ("shape (4, 1, 5, 5)", "(N, 3, H, W)")),
        ({"test_images": torch.zeros(4, 3, 6, 6, dtype=torch.uint8)}, ("5x5", "6x6", "one size")),
        ({"test_images": torch.zeros(0, 3, 5, 5, dtype=torch.uint8)}, ("at least one image",)),
        ({"train_labels": torch.zeros(6, dtype=torch.int64, device="meta")}, ("on meta", "on cpu")),
        ({"full_test": 3}, ("full_test is 3", "at least the 4")),
    ],
)
def test_a_wrong_dataset_is_refused(small, says, changes, words):
    with says("small", *words):
        small(**changes)


def test_the_digest_follows_the_content_and_only_that(small):
    base = small()
    assert len(base.digest) == 64
    assert int(base.digest, 16) >= 0
    assert small().digest == base.digest == small(name="other").digest
    others = [
        small(seed=1),
        small(classes=4, train_labels=base.train_labels, test_labels=base.test_labels),
        small(test_labels=torch.tensor([0, 1, 2, 1])),
        small(train_images=base.train_images.flip(0)),
        base.subset(5, None),
        base.subset(None, 3),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 1 + len(others)


def test_the_digest_tells_shapes_of_equal_bytes_apart(small):
    flat, tall = (torch.zeros(6, 3, *shape, dtype=torch.uint8) for shape in ((2, 8), (8, 2)))
    assert (
        small(train_images=flat, test_images=flat[:4]).digest
        != small(train_images=tall, test_images=tall[:4]).digest
    )


def test_the_digest_is_computed_once(small, monkeypatch):
    dataset = small()
    first = dataset.digest
    monkeypatch.setattr(hashlib, "sha256", None)
    assert dataset.digest == first


def test_subset_takes_prefixes_and_remembers_the_full_test_set(small):
    dataset = small()
    part = dataset.subset(3, 2)
    assert torch.equal(part.train_images, dataset.train_images[:3])
    assert torch.equal(part.train_labels, dataset.train_labels[:3])
    assert torch.equal(part.test_images, dataset.test_images[:2])
    assert torch.equal(part.test_labels, dataset.test_labels[:2])
    assert (part.full_test, part.subset(None, 1).full_test, dataset.full_test) == (4, 4, None)
    assert dataset.subset().digest == dataset.digest == dataset.subset(6, 4).digest


@pytest.mark.parametrize("number", [0, -1, 7, 1.0, "3", True])
def test_subset_refuses_what_is_no_number_of_images(small, says, number):
    with says("small", "train", repr(number), "from 1 to 6"):
        small().subset(number, None)
