"""The engine that measures nothing twice: what the store has first, and torch only for the rest."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from pytest_prunecal.lab.engines import Engine
from pytest_prunecal.lab.identity import Identity, data_of
from pytest_prunecal.lab.resolve import resolve
from pytest_prunecal.store.environment import is_surely_cpu
from pytest_prunecal.store.kinds import Kind
from pytest_prunecal.store.sources import Sources, file_digest
from pytest_prunecal.store.store import Store
from pytest_prunecal.study import stored
from pytest_prunecal.study.builtin import ENGINES
from pytest_prunecal.study.digest import digest
from pytest_prunecal.study.metric import incomplete, known
from pytest_prunecal.study.stored_measurement import measurement_of
from pytest_prunecal.study.stored_trace import jitter_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_prunecal.lab.setup import Setup
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.measurement import Measurement
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.trace import Jitter

_BASE = re.compile(r"base/[0-9a-f]{64}\.safetensors")
"""Where the store has base networks: what a record names is looked for nowhere else."""


class ReusingEngine(Engine):
    """Gives what the store knows, and has another engine measure the rest.

    Nothing here imports torch, and the engine that does is made when it is first needed.

    Args:
        setup: what to measure with.
        engine: what measures, one of `study.builtin.ENGINES`.

    Raises:
        PrunecalError: there is no such store, and none can be made.
    """

    def __init__(self, setup: Setup, engine: str) -> None:
        self._setup, self._engine = setup, engine
        self._sources = Sources(setup.started)
        self._store = Store(setup.store)
        self._measured: set[str] = set()
        self._last: tuple[Cell, Measurement] | None = None

    @cached_property
    def device(self) -> str:
        """`cpu`, or the name of the GPU."""
        return "cpu" if is_surely_cpu(self._setup.device) else self._measuring.device

    @cached_property
    def data(self) -> str:
        """Digest of the data's files, or of the images where no files can tell; see `identity.data_of`."""
        found = data_of(self._setup.protocol, self._setup.data, self._sources)
        if found is None:
            of_images = self._measuring.data  # which may fetch them
            found = data_of(self._setup.protocol, self._setup.data, self._sources) or of_images
        return found

    def admit(self, cell: Cell) -> None:
        """Try a candidate, unless its numbers are known: then it has been tried."""
        try:
            known = not self._setup.fresh and self._store.find(
                f"measurement/{self._identity.of(cell, 1)}.json"
            )
        except OSError:
            known = None
        if not known:
            self._measuring.admit(cell)

    def measure(self, cell: Cell, seeds: int = 1, *, one_base: bool = False) -> Measurement:
        """Measure one cell, or give what was measured before."""
        measure = partial(self._measuring_of, cell, seeds, one_base=one_base)
        try:
            key = self._identity.of(cell, seeds, one_base=one_base)
        except OSError:  # a file is not there or cannot be read; measuring says so better
            return measure()
        save = partial(self._save, partial(self.trained_bases, cell, seeds, one_base=one_base))
        kind: Kind[Measurement] = Kind("measurement", ".json", save, partial(self._load, seeds))
        found = self._store.remember(
            kind,
            key,
            measure,
            anew=self._setup.fresh and key not in self._measured,
            unfit=self._edited,
        )
        told = self._sources.warnings()
        if found.problem:
            told.append(f"not kept for another run: {found.problem}")
        else:
            self._measured.add(key)
        self._last = cell, found.content
        warnings = (*found.content.warnings, *told)
        return replace(found.content, reused=found.reused, warnings=warnings)

    def _measuring_of(self, cell: Cell, seeds: int, *, one_base: bool) -> Measurement:
        return self._measuring.measure(cell, seeds, one_base=one_base)

    def trained_bases(self, cell: Cell, seeds: int, *, one_base: bool = False) -> list[str]:
        """Places in the store of the base networks that were trained for a cell."""
        return self._measuring.trained_bases(cell, seeds, one_base=one_base)

    def jitter(self, cell: Cell, repeats: int, measured: Measurement | None = None) -> Jitter:
        """Measure how far float arithmetic moves a cell, or give what was measured before."""
        if measured is None and self._last and self._last[0] == cell:
            measured = self._last[1]
        try:
            key = digest(["jitter", self._identity.of(cell, 1), repeats])
        except OSError:
            return self._measuring.jitter(cell, repeats, measured)
        kind: Kind[Jitter] = Kind(
            "jitter", ".json", partial(self._save_jitter, cell), partial(self._load_jitter, repeats)
        )
        found = self._store.remember(
            kind,
            key,
            lambda: self._measuring.jitter(cell, repeats, measured),
            anew=self._setup.fresh and key not in self._measured,
            unfit=self._edited,
        )
        if not found.problem:
            self._measured.add(key)
        return found.content

    @cached_property
    def _measuring(self) -> Engine:
        engine = resolve(ENGINES[self._engine], f"engine {self._engine!r}")
        made: Engine = engine(self._setup, self._store, self._sources)
        return made

    @cached_property
    def _metrics(self) -> dict[str, Metric]:
        return known(self._setup.extensions.metrics.values())

    @cached_property
    def _identity(self) -> Identity:
        return Identity(self._setup, self.device, self.data, self._sources)

    def _edited(self) -> str:
        """Why nothing that is measured now may be kept: its key tells of sources as they were before."""
        edited = self._sources.edited()
        return f"{edited} was edited meanwhile" if edited else ""

    def _save(self, places: Callable[[], list[str]], measurement: Measurement, path: Path) -> None:
        self._write({"measurement": measurement.to_dict()}, places(), path)

    def _save_jitter(self, cell: Cell, jitter: Jitter, path: Path) -> None:
        self._write({"jitter": jitter.to_dict()}, self._measuring.trained_bases(cell, 1), path)

    def _write(self, content: dict[str, object], places: list[str], path: Path) -> None:
        """Store what was measured, and which trained base networks it started from."""
        bases = {place: self._digest_of(place) for place in places}
        path.write_text(json.dumps(content | {"bases": bases}), encoding="utf-8")

    def _read(self, what: str, path: Path) -> tuple[object, dict[str, object]]:
        """What was stored, and its base networks; raises ValueError if those are not the store's any more."""
        kept = stored.record(json.loads(path.read_text(encoding="utf-8")), "it", {what, "bases"})
        bases = stored.record(kept["bases"], "its base networks")
        for place, expected in bases.items():
            if not _BASE.fullmatch(place) or self._digest_of(place) != expected:
                raise ValueError(f"{path}: measured from another {place}")
        return kept[what], bases

    def _load(self, seeds: int, path: Path) -> Measurement:
        """A stored measurement; raises ValueError if it can be none of this cell."""
        content, bases = self._read("measurement", path)
        found = measurement_of(content, self._metrics)
        protocol, said = self._setup.protocol, found.provenance
        told = {
            "protocol": protocol.name,
            "fingerprint": protocol.fingerprint,
            "seed": protocol.seed,
            "seeds": seeds,
        }
        if any(said.get(name) != value for name, value in told.items()):
            raise ValueError(f"{path}: measured under another protocol")
        if "base_entry" in said and said["base_entry"] not in bases:
            raise ValueError(f"{path}: measured from a base network that it does not name")
        return found

    def _load_jitter(self, repeats: int, path: Path) -> Jitter:
        """A stored jitter; raises ValueError if it can be none of so many repeats."""
        content, _ = self._read("jitter", path)
        found = jitter_of(content)
        other = incomplete(found.metrics, self._metrics) if repeats else bool(found.metrics)
        if other or {*map(len, found.metrics.values())} - {repeats}:
            raise ValueError(f"{path}: of other repeats, or in other metrics")
        return found

    def _digest_of(self, place: str) -> str:
        """Of a whole entry of the store; raises an OSError if it is not there."""
        return file_digest(self._store.find(place) or self._store.root / place)
