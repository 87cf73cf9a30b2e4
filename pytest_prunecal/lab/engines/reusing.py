"""The engine that measures nothing twice: what the store has first, and torch only for the rest."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_prunecal.lab.identity import Identity, data_of
from pytest_prunecal.store.environment import conditions, is_surely_cpu
from pytest_prunecal.store.sources import Sources, file_digest
from pytest_prunecal.store.store import Artefact, Store
from pytest_prunecal.study.digest import digest
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.pairing import Pairing

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_prunecal.lab.engines import Setup
    from pytest_prunecal.lab.engines.local import LocalEngine
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.image_results import ByImage


class _EditedError(Exception):
    """Something that a measurement was made from is not what it was before."""


class ReusingEngine:
    """Measures what the store does not know; see `Setup`.

    Nothing here imports torch, and the engine that does is made when it is first needed.

    Raises:
        PrunecalError: the store cannot be written.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._sources = Sources(setup.started)
        self._store = Store(setup.store)
        self._measured: set[str] = set()

    def measure(self, cell: Cell, seeds: int = 1) -> Measurement:
        """Measure one cell, or give what was measured before; see `pytest_prunecal.lab.measure.measure`."""
        try:
            key = self._identity.of(cell, seeds)
        except OSError:  # a file is not there or cannot be read; measuring says so better
            return self._measuring.measure(cell, seeds)
        made: list[Measurement] = []
        failed: list[Exception] = []

        def write(path: Path) -> None:
            try:
                made.append(self._measuring.measure(cell, seeds))
            except Exception as error:
                failed.append(error)
                raise
            if edited := self._sources.edited():
                raise _EditedError(edited)
            path.write_text(json.dumps(self._record(made[0], cell, seeds)), encoding="utf-8")

        def read(entry: Path) -> Measurement:
            return made[0] if made else self._stored(entry)

        artefact = Artefact("measurement", key, ".json", write)
        try:
            if self._setup.fresh and key not in self._measured:
                self._store.renew(artefact)
            found = self._store.read(artefact, read)
        except (_EditedError, OSError) as problem:
            if failed:
                raise
            return _not_kept(made[0] if made else self._measuring.measure(cell, seeds), problem)
        self._measured.add(key)
        return found

    def compare(self, measured: ByImage, accepted: ByImage, *, tuned: bool) -> Pairing:
        """Compare a cell with what was accepted, once; see `pytest_prunecal.lab.over_seeds.compare`."""
        sides = [measured.to_dict(), accepted.to_dict()]
        key = digest([sides, tuned, self._sources.of_package(), conditions("cpu")])
        made: list[Pairing] = []

        def write(path: Path) -> None:
            made.append(self._measuring.compare(measured, accepted, tuned=tuned))
            path.write_text(json.dumps(made[0].to_dict()), encoding="utf-8")

        def read(entry: Path) -> Pairing:
            return made[0] if made else Pairing(**json.loads(entry.read_text(encoding="utf-8")))

        try:
            return self._store.read(Artefact("pairing", key, ".json", write), read)
        except OSError:
            return made[0] if made else self._measuring.compare(measured, accepted, tuned=tuned)

    @cached_property
    def _measuring(self) -> LocalEngine:
        from pytest_prunecal.lab.engines.local import LocalEngine  # noqa: PLC0415 - this imports torch

        return LocalEngine(self._setup, self._store, self._sources)

    @cached_property
    def _identity(self) -> Identity:
        setup = self._setup
        return Identity(
            protocol=setup.protocol,
            extensions=setup.extensions,
            bases=setup.bases,
            pin=setup.pin,
            device="cpu" if is_surely_cpu(setup.device) else self._measuring.device,
            data=self._data(),
            sources=self._sources,
        )

    def _data(self) -> str:
        of_files = data_of(self._setup.protocol, self._setup.data, self._sources)
        if of_files is None:
            of_images = self._measuring.data  # which may fetch them
            of_files = data_of(self._setup.protocol, self._setup.data, self._sources) or of_images
        return of_files

    def _record(self, measurement: Measurement, cell: Cell, seeds: int) -> dict[str, Any]:
        """What is stored: the measurement, and which trained base networks it started from."""
        places = self._measuring.trained_bases(cell, seeds)
        bases = {place: file_digest(self._store.root / place) for place in places}
        return {"measurement": measurement.to_dict(), "bases": bases}

    def _stored(self, entry: Path) -> Measurement:
        """A stored measurement; raises ValueError if its base networks are not those in the store."""
        record = json.loads(entry.read_text(encoding="utf-8"))
        for place, expected in record["bases"].items():
            path = self._store.find(place)
            if path is None or file_digest(path) != expected:
                raise ValueError(f"{entry}: measured from another {place}")
        return replace(Measurement.from_dict(record["measurement"]), reused=True)


def _not_kept(measurement: Measurement, problem: Exception) -> Measurement:
    what = f"{problem} was edited meanwhile" if isinstance(problem, _EditedError) else f"{problem}"
    return replace(measurement, warnings=(*measurement.warnings, f"not kept for another run: {what}"))
