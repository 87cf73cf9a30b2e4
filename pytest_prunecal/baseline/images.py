"""The file of results by image that lies beside a baseline.

A zip archive with an `index.json` and one entry a network: for each of its columns and each test image what
the image adds to the metric, as `study.image_results.Columns` has it (an error of 0.83 % at most). The index
names the columns, once for all networks and again for those that have others, as cells do that were
accepted before a metric existed. It also has each cell's numbers under every seed, its trace and its jitter;
a stage of these that many cells share stands there once. Nothing in it is ever executed, and nothing is
unfolded before it is known how much it may be: an entry is as long as its columns and the number of images,
one for all entries, make it.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from typing import TYPE_CHECKING, Any

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.digest import digest
from pytest_prunecal.study.image_results import Columns, ImageResults
from pytest_prunecal.study.known_cause import known_cause
from pytest_prunecal.study.stored_trace import jitter_of, trace_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT = 1

LARGEST_FILE = 2**27
"""Bytes of a file: 400 cells of 50,000 images have about as many."""

LARGEST = 2**30
"""Bytes that a file may unfold to."""

RATIO = 100
"""How many times its own bytes a file may unfold to; those in use unfold to twice as many."""

SMALL = 2**26
"""Bytes that a file may unfold to whatever its size: few images that are all alike pack very well."""

MOST_IMAGES = 2**20

_LARGEST_INDEX = 2**23  # of 4,000 bytes a cell, 40,000 with 100 seeds
_LARGEST_DIRECTORY = 2**21  # of 150 bytes an entry
_END = 22  # bytes of what a zip archive ends in, without a comment
_DIGITS = 16  # of a stage's digest
_INDEX = "index.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content gives the same bytes


def dump(cells: Mapping[str, ImageResults]) -> bytes:
    """Write the file: cell id to its results. The same cells give the same bytes."""
    ordered = dict(sorted(cells.items()))
    columns = next((cell.cell.names for cell in ordered.values()), ())
    bases: dict[str, Columns] = {}
    base_metrics: dict[str, dict[str, float]] = {}
    for cell in ordered.values():
        bases[cell.base] = cell.base_cell.over(bases.get(cell.base, cell.base_cell))
        base_metrics[cell.base] = base_metrics.get(cell.base, {}) | cell.base_metrics
    stages: dict[str, dict[str, Any]] = {}
    index: dict[str, Any] = {
        "prunecal": FORMAT,
        "columns": columns,
        "cells": {
            cell_id: {
                "base": cell.base,
                "metrics": cell.metrics,
                "each": cell.each,
                "change_sd": cell.change_sd,
                **_traced(cell, stages),
                **({} if cell.cell.names == columns else {"columns": cell.cell.names}),
            }
            for cell_id, cell in ordered.items()
        },
        "bases": base_metrics,
        "stages": stages,
    }
    others = {base: found.names for base, found in bases.items() if found.names != columns}
    entries = {_INDEX: json.dumps(index | ({"base_columns": others} if others else {}), indent=1).encode()}
    for cell_id, cell in ordered.items():
        entries[f"cells/{cell_id}"] = cell.cell.content
        entries[f"bases/{cell.base}"] = bases[cell.base].content
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _traced(cell: ImageResults, stages: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A cell's trace and jitter, each stage by its digest; adds the stages to those of all cells."""

    def kept(found: Mapping[str, dict[str, Any]]) -> dict[str, str]:
        by_digest = {stage: digest([*values.items()])[:_DIGITS] for stage, values in found.items()}
        stages.update({by_digest[stage]: values for stage, values in found.items()})
        return by_digest

    found: dict[str, Any] = {}
    if cell.trace is not None:
        found["trace"] = {"base": cell.trace.base, "stages": kept(cell.trace.stages)}
    if cell.jitter is not None:
        found["jitter"] = {"trace": kept(cell.jitter.trace), "metrics": cell.jitter.metrics}
    return found


def load(content: bytes, name: str) -> dict[str, ImageResults]:
    """Read the file; see `dump`.

    Args:
        content: its bytes.
        name: how messages call it.

    Raises:
        PrunecalError: it is damaged, or of a format that is not known here, or larger than any should be.
    """
    if cause := known_cause(content):
        raise PrunecalError(f"{name}: {cause}")
    try:
        _check_directory(content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _Reader(archive, name, len(content)).cells()
    except PrunecalError:
        raise
    except Exception as error:  # noqa: BLE001 - zipfile has a dozen kinds of errors for a damaged archive
        raise PrunecalError(
            f"{name}: cannot be read ({error}); delete it, or measure the file again with --prunecal-update"
        ) from None


def _check_directory(content: bytes) -> None:
    """Refuse, before zipfile makes an object of each entry, what `dump` never writes."""
    end = content[-_END:]
    if len(end) < _END or not end.startswith(b"PK\5\6") or end[-2:] != b"\0\0":
        raise ValueError("it is no zip archive, or breaks off")
    (size,) = struct.unpack_from("<L", end, 12)
    if content[-_END - 20 : -_END].startswith(b"PK\6\7") or size > _LARGEST_DIRECTORY:
        raise ValueError("it has too many entries")


class _Reader:
    """Reads one archive.

    Args:
        archive: opened.
        name: how messages call it.
        size: its bytes.

    Raises:
        PrunecalError: it would unfold to more than it may.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str, size: int) -> None:
        self._archive, self._name = archive, name
        self._images: int | None = None
        self._bases: dict[str, Columns] = {}
        entries = archive.infolist()
        most = min(LARGEST, max(SMALL, RATIO * size))
        if sum(entry.file_size for entry in entries) > most:
            raise PrunecalError(f"{name}: unfolds to more than {most} bytes; delete it")
        if len({entry.filename for entry in entries}) < len(entries):
            raise ValueError("two of its entries have one name")

    def cells(self) -> dict[str, ImageResults]:
        """All of it; raises ValueError, KeyError or TypeError where it is not what it must be."""
        index = json.loads(self._unfolded(_INDEX, None))
        if index["prunecal"] != FORMAT:
            raise PrunecalError(
                f"{self._name}: its format is not known; measure the whole file again with --prunecal-update"
            )
        others = index.get("base_columns", {})
        stages = index.get("stages", {})
        return {
            cell_id: ImageResults(
                metrics=_numbers(entry["metrics"]),
                each=_each(entry),
                base=entry["base"],
                base_metrics=_numbers(index["bases"][entry["base"]]),
                cell=self._columns(f"cells/{cell_id}", entry.get("columns", index["columns"])),
                base_cell=self._base(entry["base"], others.get(entry["base"], index["columns"])),
                change_sd=_numbers(entry.get("change_sd", {})),
                trace=trace_of(_whole(entry["trace"], "stages", stages)) if "trace" in entry else None,
                jitter=jitter_of(_whole(entry["jitter"], "trace", stages)) if "jitter" in entry else None,
            )
            for cell_id, entry in index["cells"].items()
        }

    def _base(self, base: str, names: Sequence[str]) -> Columns:
        """A base network's, which many cells have."""
        if base not in self._bases:
            self._bases[base] = self._columns(f"bases/{base}", names)
        return self._bases[base]

    def _columns(self, entry: str, names: Sequence[str]) -> Columns:
        """One network's."""
        if (
            not isinstance(names, list)
            or len(set(names)) < max(len(names), 1)
            or not all(map(str.isidentifier, names))
        ):
            raise ValueError(f"{entry}: its columns have no names")
        size = self._archive.getinfo(entry).file_size
        if self._images is None:
            self._images = size // (2 * len(names))
            if not 0 < self._images <= MOST_IMAGES:
                raise ValueError(f"{entry}: is about {self._images} images, not 1 to {MOST_IMAGES}")
        if size % (2 * len(names)):
            raise ValueError(f"{entry}: {size} bytes are not {len(names)} columns")
        if size != 2 * len(names) * self._images:
            raise PrunecalError(
                f"{self._name}: its entries are not about the same number of images; delete it"
            )
        return Columns(tuple(names), self._unfolded(entry, size))

    def _unfolded(self, name: str, wanted: int | None) -> bytes:
        """An entry's content, and no byte more than it says it has: those are not even made."""
        entry = self._archive.getinfo(name)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
            raise ValueError(f"{name}: is packed in a way that is not known here")
        if wanted is None and entry.file_size > _LARGEST_INDEX:
            raise ValueError(f"{name}: {entry.file_size} bytes are more than {_LARGEST_INDEX}")
        with self._archive.open(entry) as stream:
            content = stream.read(entry.file_size)
        if len(content) != entry.file_size:
            raise ValueError(f"{name}: breaks off")
        return content


def _numbers(value: object) -> dict[str, float]:
    """Finite numbers by name."""
    if not isinstance(value, dict) or not all(map(_is_number, value.values())):
        raise ValueError("its index has no numbers where they belong")
    return {name: float(one) for name, one in value.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _each(entry: Mapping[str, Any]) -> dict[str, list[float]]:
    """The numbers under every seed; a file from before they were written down has those of the first."""
    if "each" not in entry:
        return {name: [one] for name, one in _numbers(entry["first"]).items()}
    found = {name: [*_numbers(dict(enumerate(values))).values()] for name, values in entry["each"].items()}
    if not all(found.values()):
        raise ValueError("its index has no numbers of seeds where they belong")
    return found


def _whole(entry: Mapping[str, Any], place: str, stages: Mapping[str, Any]) -> dict[str, Any]:
    """A trace or a jitter with its stages in the place of their digests."""
    return {**entry, place: {stage: stages[key] for stage, key in entry[place].items()}}
