"""Corrupted test sets: published where they lie in the data folder, else generated once into the store.

Sets too large to keep are generated batch by batch in every evaluation instead, to the same bits.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import PIL
import torch

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab import corruptions
from pytest_prunecal.lab.corruptions.generate import corrupt
from pytest_prunecal.lab.datasets.published import published
from pytest_prunecal.lab.evaluation.evaluate import TestSet
from pytest_prunecal.store.kinds import Artefact
from pytest_prunecal.store.sources import package_digest
from pytest_prunecal.store.trouble import StoreError
from pytest_prunecal.study.builtin import BENCHMARK, EXTRA
from pytest_prunecal.study.digest import digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_prunecal.lab.datasets.base import Dataset
    from pytest_prunecal.lab.datasets.published import PublishedCorruptions
    from pytest_prunecal.lab.evaluation.evaluate import Images
    from pytest_prunecal.store.store import Store
    from pytest_prunecal.study.protocol import Evaluation

SEED = 0
"""Of the generated corruptions: they are part of the data, so a cell's seed does not change them."""

KEPT_BYTES = 8 << 30
"""All generated sets of a protocol together are kept in the store up to this size, else none of them."""


class Streamed:
    """Corrupted images that are generated when a slice of them is taken, and not kept.

    Args:
        clean: uint8 (N, 3, H, W), on the CPU.
        name: of the corruption.
        severity: 1..5.
    """

    def __init__(self, clean: torch.Tensor, name: str, severity: int) -> None:
        self._clean, self._name, self._severity = clean, name, severity

    def __len__(self) -> int:
        """Count the images."""
        return len(self._clean)

    def __getitem__(self, part: slice) -> torch.Tensor:
        """Generate some of the images: uint8 (n, 3, H, W)."""
        # An image's corruption depends on its index and on no other image.
        indices = torch.arange(len(self))[part]
        return corrupt(self._clean[part], self._name, self._severity, indices=indices, seed=SEED)


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

    @property
    def streamed(self) -> bool:
        """Whether the sets are too large to keep and are generated batch by batch."""
        count = len(self._evaluation.corruptions) * len(self._evaluation.severities)
        return not self._published and count * self._dataset.test_images.nbytes > KEPT_BYTES

    def __iter__(self) -> Iterator[TestSet]:
        """Every corruption at every severity, in the protocol's order, at most one in memory at a time."""
        sets = list(product(self._evaluation.corruptions, self._evaluation.severities))
        for place, (name, severity) in enumerate(sets):
            images: Images
            if self._published:
                images = self._published.images(name, severity)
            elif self.streamed:
                images = Streamed(self._dataset.test_images, name, severity)
            else:
                images = self._kept(sets[place:])
            yield TestSet(name, severity, images)

    def _kept(self, sets: list[tuple[str, int]]) -> Images:
        """The first of some sets, from the store; streamed to the same bits where it cannot be kept."""
        try:
            self._share_making(sets)
            return self._store.read(self._artefact(*sets[0]), self._mapped)
        except StoreError:
            return Streamed(self._dataset.test_images, *sets[0])

    def _mapped(self, path: Path) -> torch.Tensor:
        """Read a set; raises ValueError if it is none of this data set's."""
        # Copy-on-write: all workers share the pages, and torch gets the writable array that it wants.
        found = np.load(path, mmap_mode="c", allow_pickle=False)
        clean = self._dataset.test_images
        if found.dtype != np.uint8 or found.shape != tuple(clean.shape) or not found.flags.c_contiguous:
            raise ValueError(f"{path}: these are not corrupted images of {self._dataset.name}")
        return torch.from_numpy(found)

    def _share_making(self, sets: list[tuple[str, int]]) -> None:
        """While another process makes the first set, make others that nobody makes."""
        first, *others = sets
        for other in others:
            if self._store.attempt(self._artefact(*first)):
                return
            self._store.attempt(self._artefact(*other))

    def _artefact(self, name: str, severity: int) -> Artefact:
        key = {
            "test": self._dataset.digest,
            "corruption": [name, severity, SEED],
            "made by": [package_digest(corruptions), torch.__version__, PIL.__version__],
        }
        make = partial(corrupt, self._dataset.test_images, name, severity, seed=SEED)
        return Artefact("corrupted", digest(key), ".npy", make, _save)


def _save(images: torch.Tensor, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, images.numpy())
