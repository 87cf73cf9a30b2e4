"""Corrupted test sets: published where they lie in the data folder, else generated once into the store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import PIL
import torch

from pytest_prunecal.corruptions import BENCHMARK, EXTRA
from pytest_prunecal.corruptions.generate import corrupt
from pytest_prunecal.datasets.corrupted import published
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.evaluation import TestSet
from pytest_prunecal.protocol import digest
from pytest_prunecal.sources import package_digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_prunecal.datasets.base import Dataset
    from pytest_prunecal.datasets.corrupted import PublishedCorruptions
    from pytest_prunecal.recipe import Evaluation
    from pytest_prunecal.store import Store

SEED = 0
"""Of the generated corruptions: they are part of the data, so a cell's seed does not change them."""


class CorruptedSets:
    """The corrupted versions of a data set's test images that a protocol evaluates on.

    Args:
        dataset: whose test images.
        evaluation: names the corruptions, the severities and the source.
        root: the user's data folder, where published sets may lie.
        store: where generated sets are kept.

    Raises:
        PrunecalError: an unknown corruption, or published sets that are demanded and missing, or broken.
    """

    def __init__(self, dataset: Dataset, evaluation: Evaluation, root: Path | None, store: Store) -> None:
        unknown = [name for name in evaluation.corruptions if name not in (*BENCHMARK, *EXTRA)]
        if unknown:
            raise PrunecalError(
                f"unknown corruption {unknown[0]!r}; there are {', '.join((*BENCHMARK, *EXTRA))}"
            )
        self._dataset, self._evaluation, self._store = dataset, evaluation, store
        self._published: PublishedCorruptions | None = None
        if evaluation.source != "generated":
            self._published = published(root, dataset, evaluation.corruptions)
        if evaluation.source == "published" and self._published is None:
            raise PrunecalError(
                f"the protocol asks for published corruptions of {dataset.name}, and none lie in the data "
                f"folder ({root or 'none given'}); put CIFAR-10-C there and name it with --prunecal-data=DIR"
            )

    @property
    def source(self) -> str:
        """`published` or `generated`."""
        return "published" if self._published else "generated"

    @property
    def digest(self) -> str:
        """Tells published sets from generated ones, and one copy of the published ones from another."""
        return self._published.digest if self._published else "generated"

    def __iter__(self) -> Iterator[TestSet]:
        """Every corruption at every severity, in the protocol's order, one in memory at a time."""
        for name in self._evaluation.corruptions:
            for severity in self._evaluation.severities:
                if self._published:
                    images = self._published.images(name, severity)
                else:
                    images = self._generated(name, severity)
                yield TestSet(name, severity, images)

    def _generated(self, name: str, severity: int) -> torch.Tensor:
        key = {
            "test": self._dataset.digest,
            "corruption": [name, severity, SEED],
            "made by": [package_digest("corruptions"), torch.__version__, PIL.__version__],
        }
        entry = self._store.obtain("corrupted", digest(key), ".npy", partial(self._write, name, severity))
        # Mapped copy-on-write: all workers share the pages, and torch gets the writable array it wants.
        return torch.from_numpy(np.load(entry, mmap_mode="c", allow_pickle=False))

    def _write(self, name: str, severity: int, path: Path) -> None:
        images = corrupt(self._dataset.test_images, name, severity, seed=SEED)
        with path.open("wb") as file:
            np.save(file, images.numpy())
