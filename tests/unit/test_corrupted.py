"""Corrupted test sets: in the protocol's order, made once, published ones where they lie."""

import types

import pytest
import torch

from pytest_prunecal import corrupted
from pytest_prunecal.corrupted import CorruptedSets
from pytest_prunecal.corruptions.generate import corrupt
from pytest_prunecal.datasets.base import Dataset
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.recipe import Evaluation
from pytest_prunecal.store import Store


@pytest.fixture
def dataset():
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8, generator=draw)
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    return Dataset("tiny", images, labels, images.flip(0), labels, 2)


def evaluation(source="generated", corruptions=("contrast", "gaussian_noise"), severities=(3, 1)):
    return Evaluation(batch=4, bins=10, corruptions=corruptions, severities=severities, source=source)


@pytest.mark.parametrize("source", ["generated", "auto"])
def test_generated_sets(dataset, tmp_path, source):
    sets = CorruptedSets(dataset, evaluation(source), tmp_path, Store(str(tmp_path / "store")))
    found = list(sets)
    assert sets.source == "generated"
    assert [(part.corruption, part.severity) for part in found] == (
        [("contrast", 3), ("contrast", 1), ("gaussian_noise", 3), ("gaussian_noise", 1)]
    )
    for part in found:
        expected = corrupt(dataset.test_images, part.corruption, part.severity, seed=0)
        assert torch.equal(part.images, expected)
        assert part.images.dtype == torch.uint8


def test_they_are_made_once(dataset, tmp_path, monkeypatch):
    store = Store(str(tmp_path / "store"))
    first = [part.images.clone() for part in CorruptedSets(dataset, evaluation(), None, store)]

    def never(*_, **__):
        raise AssertionError("generated again")

    monkeypatch.setattr(corrupted, "corrupt", never)
    again = list(CorruptedSets(dataset, evaluation(), None, store))
    assert all(torch.equal(one, part.images) for one, part in zip(first, again, strict=True))
    # What somebody does to the images does not reach the store.
    again[0].images.zero_()
    fresh = next(iter(CorruptedSets(dataset, evaluation(), None, store)))
    assert torch.equal(fresh.images, first[0])
    with pytest.raises(AssertionError, match="generated again"):
        list(CorruptedSets(dataset, evaluation(severities=(2,)), None, store))


def test_another_data_set_has_sets_of_its_own(dataset, tmp_path):
    store = Store(str(tmp_path / "store"))
    one = evaluation(corruptions=("contrast",), severities=(3,))
    (first,) = CorruptedSets(dataset, one, None, store)
    (other,) = CorruptedSets(dataset.subset(test=4), one, None, store)
    assert torch.equal(other.images, corrupt(dataset.test_images[:4], "contrast", 3, seed=0))
    assert len(first.images) == 6


def test_published_sets_are_taken_where_they_lie(dataset, tmp_path, monkeypatch):
    asked = []

    def images(name, severity):
        asked.append((name, severity))
        return dataset.test_images + severity

    def find(root, of, names):
        assert (root, of, tuple(names)) == (tmp_path, dataset, ("contrast", "gaussian_noise"))
        return types.SimpleNamespace(images=images)

    monkeypatch.setattr(corrupted, "published", find)
    store = Store(str(tmp_path / "store"))
    for source in ("auto", "published"):
        sets = CorruptedSets(dataset, evaluation(source), tmp_path, store)
        assert sets.source == "published"
        assert torch.equal(next(iter(sets)).images, dataset.test_images + 3)
    assert asked == [("contrast", 3)] * 2
    assert CorruptedSets(dataset, evaluation("generated"), tmp_path, store).source == "generated"


def test_what_cannot_be_had(dataset, tmp_path):
    store = Store(str(tmp_path / "store"))
    with pytest.raises(PrunecalError, match=r"asks for published corruptions of tiny.*--prunecal-data"):
        CorruptedSets(dataset, evaluation("published"), None, store)
    with pytest.raises(PrunecalError, match="unknown corruption 'rain'; there are gaussian_noise,"):
        CorruptedSets(dataset, evaluation(corruptions=("fog", "rain")), None, store)
