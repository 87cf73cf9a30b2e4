"""The file of results by image that lies beside a baseline.

A zip archive with an `index.json` and one entry a network: for each of `COLUMNS` and each test image what the
image adds to the metric, as float16 with the last four bits of the mantissa dropped (an error of 0.83 % at
most), high bytes before low ones. Nothing in it is ever executed.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.image_results import COLUMNS, ByImage

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1

LARGEST = 2**30
"""Bytes that a file may unfold to: a small archive can hold a very large one."""

_INDEX = "index.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content gives the same bytes


def dump(cells: Mapping[str, ByImage]) -> bytes:
    """Write the file: cell id to its results. The same cells give the same bytes."""
    index = {
        "prunecal": FORMAT,
        "columns": COLUMNS,
        "cells": {
            cell_id: {
                "base": cell.base,
                "seeds": cell.seeds,
                "metrics": cell.metrics,
                "first": cell.first,
                "change_sd": cell.change_sd,
            }
            for cell_id, cell in sorted(cells.items())
        },
        "bases": {cell.base: cell.base_metrics for _, cell in sorted(cells.items())},
    }
    entries = {_INDEX: json.dumps(index, indent=1).encode()}
    for cell_id, cell in sorted(cells.items()):
        entries[f"cells/{cell_id}"] = cell.cell
        entries[f"bases/{cell.base}"] = cell.base_cell
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def load(content: bytes, name: str) -> dict[str, ByImage]:
    """Read the file; see `dump`.

    Args:
        content: its bytes.
        name: how messages call it.

    Raises:
        PrunecalError: it is damaged, or of a format that is not known here.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read(archive, name)
    except PrunecalError:
        raise
    except Exception as error:  # noqa: BLE001 - zipfile has a dozen kinds of errors for a damaged archive
        raise PrunecalError(
            f"{name}: cannot be read ({error}); delete it, or measure the file again with --prunecal-update"
        ) from None


def _read(archive: zipfile.ZipFile, name: str) -> dict[str, ByImage]:
    if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
        raise PrunecalError(f"{name}: unfolds to more than {LARGEST} bytes; delete it")
    index = json.loads(archive.read(_INDEX))
    if index["prunecal"] != FORMAT or tuple(index["columns"]) != COLUMNS:
        raise PrunecalError(
            f"{name}: its format is not known; measure the whole file again with --prunecal-update"
        )
    _check_lengths(archive, name)
    return {
        cell_id: ByImage(
            metrics=entry["metrics"],
            first=entry["first"],
            base=entry["base"],
            base_metrics=index["bases"][entry["base"]],
            cell=archive.read(f"cells/{cell_id}"),
            base_cell=archive.read(f"bases/{entry['base']}"),
            change_sd=entry.get("change_sd", {}),
            seeds=entry.get("seeds", 1),
        )
        for cell_id, entry in index["cells"].items()
    }


def _check_lengths(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse entries that are not about the same images."""
    lengths = {entry.file_size for entry in archive.infolist() if entry.filename != _INDEX}
    if len(lengths) > 1 or any(length % (2 * len(COLUMNS)) for length in lengths):
        raise PrunecalError(f"{name}: its entries differ in length; delete it")
