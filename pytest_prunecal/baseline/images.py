"""The file of results by image that lies beside a baseline.

A zip archive with an `index.json` and one entry a network: for each of its columns and each test image what
the image adds to the metric, as `study.image_results.Columns` has it (an error of 0.83 % at most). The index
names the columns, once for all networks and again for those that have others, as cells do that were
accepted before a metric existed. Nothing in it is ever executed.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.image_results import Columns, ImageResults
from pytest_prunecal.study.known_cause import known_cause

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1

LARGEST = 2**30
"""Bytes that a file may unfold to: a small archive can hold a very large one."""

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
    index: dict[str, Any] = {
        "prunecal": FORMAT,
        "columns": columns,
        "cells": {
            cell_id: {
                "base": cell.base,
                "seeds": cell.seeds,
                "metrics": cell.metrics,
                "first": cell.first,
                "change_sd": cell.change_sd,
                **({} if cell.cell.names == columns else {"columns": cell.cell.names}),
            }
            for cell_id, cell in ordered.items()
        },
        "bases": base_metrics,
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


def load(content: bytes, name: str) -> dict[str, ImageResults]:
    """Read the file; see `dump`.

    Args:
        content: its bytes.
        name: how messages call it.

    Raises:
        PrunecalError: it is damaged, or of a format that is not known here.
    """
    if cause := known_cause(content):
        raise PrunecalError(f"{name}: {cause}")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read(archive, name)
    except PrunecalError:
        raise
    except Exception as error:  # noqa: BLE001 - zipfile has a dozen kinds of errors for a damaged archive
        raise PrunecalError(
            f"{name}: cannot be read ({error}); delete it, or measure the file again with --prunecal-update"
        ) from None


def _read(archive: zipfile.ZipFile, name: str) -> dict[str, ImageResults]:
    if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
        raise PrunecalError(f"{name}: unfolds to more than {LARGEST} bytes; delete it")
    index = json.loads(archive.read(_INDEX))
    if index["prunecal"] != FORMAT:
        raise PrunecalError(
            f"{name}: its format is not known; measure the whole file again with --prunecal-update"
        )
    others = index.get("base_columns", {})
    cells = {
        cell_id: ImageResults(
            metrics=entry["metrics"],
            first=entry["first"],
            base=entry["base"],
            base_metrics=index["bases"][entry["base"]],
            cell=_columns(archive, f"cells/{cell_id}", entry.get("columns", index["columns"])),
            base_cell=_columns(
                archive, f"bases/{entry['base']}", others.get(entry["base"], index["columns"])
            ),
            change_sd=entry.get("change_sd", {}),
            seeds=entry.get("seeds", 1),
        )
        for cell_id, entry in index["cells"].items()
    }
    if len({columns.images for cell in cells.values() for columns in (cell.cell, cell.base_cell)}) > 1:
        raise PrunecalError(f"{name}: its entries are not about the same number of images; delete it")
    return cells


def _columns(archive: zipfile.ZipFile, entry: str, names: list[str]) -> Columns:
    """One network's; raises ValueError where names and content do not belong together."""
    content = archive.read(entry)
    if (
        not isinstance(names, list)
        or len(set(names)) < max(len(names), 1)
        or not all(map(str.isidentifier, names))
    ):
        raise ValueError(f"{entry}: its columns have no names")
    if len(content) % (2 * len(names)):
        raise ValueError(f"{entry}: {len(content)} bytes are not {len(names)} columns")
    return Columns(tuple(names), content)
