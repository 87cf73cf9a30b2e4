"""A candidate in a .pt2 file of torch.export, loaded so that nothing of it is run as Python.

`torch.export.load` trusts what it loads. It unpickles where a tensor is no plain one, evaluates expressions
of sizes and guards as Python, writes names of arguments into the source of a function, and opens compiled
libraries. So pickles are read by torch's unpickler of plain tensors alone, everything else is looked at
before, and what is loaded is an archive of what was looked at and nothing more.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import warnings
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.candidates.counted import macs, of_tensors
from pytest_prunecal.lab.candidates.finished import Finished, Running
from pytest_prunecal.lab.candidates.inputs import input_of
from pytest_prunecal.lab.forward import described, logits_of
from pytest_prunecal.lab.own_code import told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    from pytest_prunecal.lab.candidates.inputs import Input

_SAFELY = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": None}
_MODEL, _SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
_KEPT = re.compile(
    r"archive_format|archive_version|byteorder|\.data/(version|serialization_id)|models/model\.json|"
    r"data/(weights|constants)/(model_(weights|constants)_config\.json|(weight|tensor)_\d+)"
)
_SIZE = re.compile(
    r"(?:Symbol\('[A-Za-z]+\d+'(?:, (?:positive|integer|nonnegative)=(?:True|False))*\)|"
    r"[suz]+\d+|[A-Z]\w*(?=\()|\d+|[-+*/(), <>=]|True|False|true|false)*"
)
"""What is written of a size that is not fixed: symbols, numbers, and what sympy makes of them; no texts."""
_NAME = re.compile(r"[A-Za-z_]\w*")
_TARGET = re.compile(
    r"torch\.ops\.(aten|prim|prims|quantized|quantized_decomposed|torchao|torchvision)\.\w+\.\w+|"
    r"torch\.ops\.higher_order\.(wrap_with_set_grad_enabled|wrap_with_autocast|cond)|"
    r"torch\.sym_\w+|_operator\.\w+|math\.\w+"
)
_AGAIN = "export it again with torch.export.save, or export the network to ONNX"


def load(path: Path, shape: Sequence[int], what: str) -> Finished:
    """Load an exported program, which runs on the CPU.

    Args:
        path: the file.
        shape: (channels, height, width) of the data's images.
        what: how messages call it.

    Raises:
        PrunecalError: it cannot be loaded without running code of its own, or takes no such images.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PrunecalError(f"{what}: cannot be read: {error.strerror}") from None
    archive = _looked_at(content, what)
    with _pickles_of_tensors_alone(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.export.load(io.BytesIO(archive))
            module = program.module()
        except Exception as error:  # noqa: BLE001 - torch raises many kinds
            raise PrunecalError(f"{what}: it cannot be loaded: {told(error)}; {_AGAIN}") from None
    taken = _input_of(program, shape, what)

    def run(images: Tensor) -> Tensor:
        return taken.run(lambda part: logits_of(module(part)), images.cpu())

    tensors = [*program.parameters(), *_constants(program)]
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        image = torch.zeros(max(taken.least, 1), *shape, dtype=taken.dtype)
        counted = macs(run, image) // len(image)
    except Exception as error:  # noqa: BLE001 - as above
        raise PrunecalError(f"{what}: it fails on an image: {told(error)}") from None
    costs = {**of_tensors(tensors), "macs": counted, "bytes": len(content)}
    return Finished(Running(run, taken.dtype), costs, on_cpu=True, sha256=sha256, state=sha256)


@contextmanager
def _pickles_of_tensors_alone() -> Iterator[None]:
    """Have torch unpickle nothing but plain tensors, whatever whoever calls it asks for."""
    found = {name: os.environ.get(name) for name in _SAFELY}
    _set(_SAFELY)
    try:
        yield
    finally:
        _set(found)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _looked_at(content: bytes, what: str) -> bytes:
    """An archive of those members that are needed, each looked at; raises PrunecalError for what may run."""
    members = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # A small file may unpack to more than there is memory; torch stores every byte once.
            larger = sum(info.file_size for info in archive.infolist()) > len(content)
            if larger or any(info.compress_type for info in archive.infolist()):
                raise PrunecalError(
                    f"{what}: is compressed or unpacks to more than it holds, as torch writes no program; "
                    f"{_AGAIN}"
                )
            for info in archive.infolist():
                name = info.filename.partition("/")[2]
                if name in members:
                    raise PrunecalError(f"{what}: holds {_shown(name)} twice; {_AGAIN}")
                if _KEPT.fullmatch(name):
                    members[name] = archive.read(info)
                elif name.startswith(("data/constants/", "data/aotinductor/", "models/")):
                    raise PrunecalError(
                        f"{what}: holds {_shown(name)}, which could run code when loaded; {_AGAIN}"
                    )
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise PrunecalError(f"{what}: is no readable archive: {error}; make or copy it again") from None
    try:
        model = json.loads(members[_MODEL])
        _check(model)
    except (KeyError, ValueError, RecursionError) as error:
        says = str(error) if isinstance(error, _RunsCodeError) else "is no readable exported program"
        raise PrunecalError(f"{what}: {says}; {_AGAIN}") from None
    looked_at = io.BytesIO()
    with zipfile.ZipFile(looked_at, "w", zipfile.ZIP_STORED) as archive:
        for name, member in (members | {_SAMPLES: b""}).items():
            archive.writestr(f"net/{name}", member)
    return looked_at.getvalue()


class _RunsCodeError(ValueError):
    """A part of a program that would be run as Python."""


def _check(model: Any) -> None:  # noqa: ANN401 - whatever a file holds
    """Raise _RunsCodeError for what torch would evaluate, and is not what it writes itself."""
    if not isinstance(model, dict):
        raise ValueError("no program")  # noqa: TRY004 - what a file holds is wrong
    if model.get("guards_code"):
        raise _RunsCodeError("holds guards, which are Python code and would be run")
    for key, value in _entries(model):
        if key == "expr_str" and not _SIZE.fullmatch(str(value)):
            raise _RunsCodeError(f"has the size {_shown(value)}, which would be run as code")
        if key == "target" and not _TARGET.fullmatch(str(value)):
            raise _RunsCodeError(f"calls {_shown(value)}, which is none of the operators that are run here")
        if key == "name" and isinstance(value, str) and value and not _NAME.fullmatch(value):
            raise _RunsCodeError(f"has the name {_shown(value)}, which is none")
        if key == "forward_arg_names" and not all(_NAME.fullmatch(str(name)) for name in value or []):
            raise _RunsCodeError("has arguments with names that are none")
        if key in ("in_spec", "out_spec") and "defaultdict" in str(value):
            raise _RunsCodeError("takes or gives a defaultdict, whose class would be imported")


def _entries(found: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any JSON
    """Every key in a JSON document with its value."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield key, value
            yield from _entries(value)
    elif isinstance(found, list):
        for value in found:
            yield from _entries(value)


def _shown(found: object) -> str:
    """A text out of a file, fit for a message."""
    text = repr(found)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _input_of(program: Any, shape: Sequence[int], what: str) -> Input:  # noqa: ANN401 - an ExportedProgram
    """What the program takes, its smallest and largest batch included."""
    names = program.graph_signature.user_inputs
    if len(names) != 1:
        raise PrunecalError(f"{what}: takes {len(names)} inputs ({', '.join(map(str, names))}), wanted one")
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    value = values.get(names[0])
    if not isinstance(value, torch.Tensor):
        raise PrunecalError(f"{what}: takes a {type(value).__name__}, wanted images")
    sizes = [size if isinstance(size, int) else None for size in value.shape]
    found = input_of(sizes, value.dtype, described(value.dtype), shape, what)
    if sizes[0]:
        return found
    least, most = _allowed(program, value.shape[0])
    return replace(found, least=least or 1, most=most)


def _allowed(program: Any, size: Any) -> tuple[int | None, int | None]:  # noqa: ANN401 - as above, and a symbol
    """The fewest and the most images at once; None where the program does not say."""
    allowed = program.range_constraints.get(size.node.expr)
    if allowed is None:
        return None, None
    least, most = (int(one) if one.is_Integer else None for one in (allowed.lower, allowed.upper))
    return least, most


def _constants(program: Any) -> Iterator[Tensor]:  # noqa: ANN401 - as above
    """Weights that are no parameters, such as those of a program that was quantised."""
    kept = set(program.graph_signature.buffers)
    for name, buffer in program.named_buffers():
        if name in kept and buffer.dtype in (torch.int8, torch.uint8) and buffer.ndim > 1:
            yield buffer
