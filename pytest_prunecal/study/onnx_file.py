"""An ONNX file, walked without loading it: whether it is one, and which other files its weights lie in.

ONNX has no magic bytes: a file is a protobuf message, whose fields each begin with a number and a type
(https://protobuf.dev/programming-guides/encoding, https://onnx.ai/onnx/repo-docs/IR.html). Of a field that
is not looked into nothing but its length is read.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, NamedTuple

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.paths import found, reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_MODEL = {1: _VARINT, 2: _BYTES, 3: _BYTES, 4: _BYTES, 5: _VARINT, 6: _BYTES, 7: _BYTES, 8: _BYTES}
_MODEL |= {14: _BYTES, 20: _BYTES, 25: _BYTES, 26: _BYTES}
"""Fields of a ModelProto: their numbers, and how they are written."""
_VERSION, _GRAPH, _OPSETS = 1, 7, 8

# Where tensors lie in a message, by the message's kind: field number, and what lies there.
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_DEEPEST = 60
_LONGEST = 4096


class _Field(NamedTuple):
    number: int
    wire: int
    start: int
    end: int


class _BrokenError(ValueError):
    """No message of this kind."""


def is_onnx(path: Path) -> bool:
    """Whether a file is an ONNX model, as far as its outermost fields tell; raises OSError if unreadable."""
    with path.open("rb") as file:
        try:
            fields = list(_fields(file, 0, file.seek(0, 2)))
        except _BrokenError:
            return False
    numbers = {field.number for field in fields}
    fits = all(_MODEL.get(field.number, field.wire) == field.wire for field in fields)
    return fits and _GRAPH in numbers and bool(numbers & {_VERSION, _OPSETS})


def parts(path: Path, what: str) -> list[Path]:
    """The files that the weights of an ONNX file lie in besides itself, sorted.

    Args:
        path: of an ONNX file.
        what: how messages call it.

    Raises:
        PrunecalError: it cannot be read to its end, or names a file that is not there, or one that lies
            elsewhere than in the folder of the model or below it.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            names = sorted(set(_locations(file, _Field(0, _BYTES, 0, size), "model", 0)))
    except OSError as error:
        raise PrunecalError(f"{what}: cannot be read: {reason(error)}") from None
    except _BrokenError:
        raise PrunecalError(
            f"{what}: is no readable ONNX file: its content is broken or cut short; make or copy it again"
        ) from None
    return [_beside(path, name, what) for name in names]


def digest(path: Path, what: str) -> str:
    """SHA-256, in hex, of an ONNX file; of it and of the files that its weights lie in, if there are any.

    Raises:
        PrunecalError: as `parts`.
        OSError: a file cannot be read.
    """
    others = parts(path, what)
    own = _sha256(path)
    if not others:
        return own
    lines = [own, *(f"{other.relative_to(path.parent).as_posix()}\0{_sha256(other)}" for other in others)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _sha256(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while content := file.read(1 << 20):
            state.update(content)
    return state.hexdigest()


def _beside(path: Path, name: str, what: str) -> Path:
    """The file that a model calls so; raises PrunecalError if it may not be read, or is not there."""
    shown = name if name.isprintable() else repr(name)
    parts_of_it = (*PurePosixPath(name).parts, *PureWindowsPath(name).parts)
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive
    there = path.parent / name
    if not name or absolute or ".." in parts_of_it or not _below(there, path.parent):
        raise PrunecalError(
            f"{what}: says that weights lie in {shown}, outside of its folder; save the model as one file: "
            "onnx.save(onnx.load(…), 'net.onnx')"
        )
    if found(there, what) != "a file":
        raise PrunecalError(
            f"{what}: its weights lie in {shown}, which is not beside it; copy it there, or save the model "
            "as one file: onnx.save(onnx.load(…), 'net.onnx')"
        )
    return there


def _below(path: Path, folder: Path) -> bool:
    """Whether a path leads to a place below a folder, links followed."""
    return path.resolve().is_relative_to(folder.resolve())


def _locations(file: BinaryIO, within: _Field, kind: str, depth: int) -> Iterator[str]:
    """Names of files in all tensors of a message."""
    if depth > _DEEPEST:
        raise _BrokenError
    inside = _INSIDE[kind]
    # Read to the end first: what is inside moves the place in the file.
    for field in list(_fields(file, within.start, within.end)):
        what = inside.get(field.number)
        if what is None or field.wire != _BYTES:
            continue
        if what == "entry":
            key, value = _entry(file, field)
            if key == "location":
                yield value
        else:
            yield from _locations(file, field, what, depth + 1)


def _entry(file: BinaryIO, within: _Field) -> tuple[str, str]:
    """A StringStringEntryProto."""
    found_texts = {1: "", 2: ""}
    for field in list(_fields(file, within.start, within.end)):
        if field.number in found_texts and field.wire == _BYTES:
            if field.end - field.start > _LONGEST:
                raise _BrokenError
            file.seek(field.start)
            try:
                found_texts[field.number] = file.read(field.end - field.start).decode()
            except UnicodeDecodeError:
                raise _BrokenError from None
    return found_texts[1], found_texts[2]


def _fields(file: BinaryIO, start: int, end: int) -> Iterator[_Field]:
    """The fields of a message that lies in a part of a file; raises _BrokenError if it is none."""
    file.seek(start)
    place = start
    while place < end:
        tag, place = _varint(file, place)
        number, wire = tag >> 3, tag & 7
        if not number:
            raise _BrokenError
        begin = place
        if wire == _VARINT:
            _, place = _varint(file, place)
        elif wire == _BYTES:
            length, begin = _varint(file, place)
            place = begin + length
        elif wire in (_EIGHT, _FOUR):
            place += 8 if wire == _EIGHT else 4
        else:
            raise _BrokenError
        if place > end:
            raise _BrokenError
        yield _Field(number, wire, begin, place)
        file.seek(place)


def _varint(file: BinaryIO, place: int) -> tuple[int, int]:
    """A number of up to ten bytes, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise _BrokenError
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value, place + shift // 7 + 1
    raise _BrokenError
