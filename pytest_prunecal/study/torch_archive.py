"""What PyTorch wrote into a zip archive, told by its members without loading any of them.

PyTorch saves four things into zip archives, whatever the file's suffix: tensors and objects (torch.save,
pickled), TorchScript (torch.jit.save), exported programs (torch.export.save), compiled packages.
"""

from __future__ import annotations

import pickletools
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT, EXPORTED, OLD_EXPORTED, COMPILED = "TorchScript", "exported", "exported before 2.8", "compiled"
WEIGHTS, PICKLED, OTHER = "weights", "pickled", "zip"

_MOST = 16 << 20
"""Bytes of a pickle that are looked through."""
_HARMLESS = ("collections ", "torch._utils _rebuild_", "torch ", "torch.storage ", "torch.serialization ")
"""What pickles of a state_dict() name; a network's own class is something else."""


def kind_of(path: Path) -> str:
    """Which of the above a zip archive holds; `OTHER` if none.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _told(archive)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, RuntimeError, EOFError):
        return OTHER


def _told(archive: zipfile.ZipFile) -> str:
    # All that PyTorch writes lies in one folder, whose name is the file's first.
    names = {name.partition("/")[2] for name in archive.namelist()}
    if any(name.startswith("data/aotinductor/") for name in names):
        return COMPILED
    if "models/model.json" in names or "archive_format" in names:
        return EXPORTED
    if "serialized_exported_program.json" in archive.namelist():
        return OLD_EXPORTED
    if "data.pkl" not in names:
        return OTHER
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        return SCRIPT
    return PICKLED if _names_classes(archive) else WEIGHTS


def _names_classes(archive: zipfile.ZipFile) -> bool:
    """Whether a pickle names anything but what tensors are made of; it is read and not obeyed."""
    name = next(name for name in archive.namelist() if name.partition("/")[2] == "data.pkl")
    with archive.open(name) as file:
        content = file.read(_MOST)
    texts: list[str] = []
    try:
        for operation, argument, _ in pickletools.genops(content):
            if isinstance(argument, str):
                texts.append(argument)
            if operation.name == "STACK_GLOBAL":
                called = " ".join(texts[-2:])
            elif operation.name == "GLOBAL":
                called = str(argument)
            else:
                continue
            if not called.startswith(_HARMLESS):
                return True
    except ValueError:  # cut short
        return True
    return False
