"""Documents, archives and bytes made wrong, in the ways in which people, merges, disks and forgers do it."""

from __future__ import annotations

import io
import json
import re
import zipfile
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, 1e-320, 1e308, -1e308, float("nan"), float("inf"), 2**63, 10**400),
    *("", " ", "-", "~", "null", "0x10", "1_000", "1:30", "010", "1e999", ".nan", "auto", "dense"),
    *("\x1b[31mred", "a\nb", "::error::x", "\u202eabc", "@everyone", "\x07", "é" * 3, "x" * 5000, "9" * 5000),
    *("../../x", "/proc/nowhere", "~", "C:\\x", "a/b", "...", "{{x}}", "{label}", "%s", "<b>", "|", "`x`"),
    *([], {}, [1, 2], [[]], {"a": 1}, {"mean": 1}, {"mean": float("nan"), "se": -1}, {"abs": -1}),
    *({"auto": True}, "2027-02-30", "weight-0.3"),
)
"""Values where another belongs."""

LFS = b"version https://git-lfs.github.com/spec/v1\n"

PIECES = (
    *("<<<<<<< HEAD\n", "=======\n", ">>>>>>> theirs\n", LFS.decode()),
    *("\t", "  ", "\r\n", "\x00", "\x1b", "\ufeff", "\u2028", "\x85"),
    *(":", "- ", "? ", "&a ", "*a", "!!python/object:os.system ", "!x ", "|", ">", "{", "}", "[", "]"),
    *("#", "'", '"', "---\n", "...\n", "%YAML 1.1\n", "<<: ", '"\\ud800"', '"\\UFFFFFFFF"', "0" * 300),
    *("[" * 300, "- " * 300),
)
"""Text where none belongs."""


def text(source: str, draw: random.Random) -> str:
    """Spoil a text in one to three places."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        source = draw.choice(_SPOILERS)(source, draw)
    return source


def _lines(source: str, draw: random.Random) -> str:
    """A line more, a line less, two lines swapped, one indented otherwise."""
    lines = source.splitlines(keepends=True) or [""]
    first, second = draw.randrange(len(lines)), draw.randrange(len(lines))
    how = draw.randrange(4)
    if how == 0:
        del lines[first]
    elif how == 1:
        lines.insert(second, lines[first])
    elif how == 2:
        lines[first], lines[second] = lines[second], lines[first]
    else:
        lines[first] = draw.choice(("  ", "\t", "")) + lines[first].lstrip()
    return "".join(lines)


def _cut(source: str, draw: random.Random) -> str:
    place = draw.randrange(len(source) + 1)
    return source[:place] + source[place + draw.choice((draw.randrange(1, 40), len(source))) :]


def _insert(source: str, draw: random.Random) -> str:
    place = draw.randrange(len(source) + 1)
    return source[:place] + draw.choice(PIECES) + source[place:]


def _replace(source: str, draw: random.Random) -> str:
    place = draw.randrange(len(source) + 1)
    other = draw.choice((draw.randrange(32, 127), draw.randrange(1, 0x2100)))
    return source[:place] + chr(other) + source[place + 1 :]


def _number(source: str, draw: random.Random) -> str:
    found = list(re.finditer(r"\d+(\.\d+)?", source))
    if not found:
        return source
    chosen = draw.choice(found)
    return source[: chosen.start()] + str(draw.choice(ODD)) + source[chosen.end() :]


_SPOILERS = (_lines, _lines, _cut, _insert, _insert, _replace, _number)


def tree(document: Any, draw: random.Random) -> Any:  # noqa: ANN401 - of a document
    """Spoil a document in one place: another value, a key more, less, or renamed."""
    document = deepcopy(document)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:  # noqa: ANN401 - of a document
        entries = (
            node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        )
        for key, value in entries:
            places.append((node, key))
            walk(value)

    walk(document)
    if not places:
        return draw.choice(ODD)
    owner, key = draw.choice(places)
    how = draw.randrange(6)
    if how < 3:
        owner[key] = draw.choice(ODD)
    elif how == 3:
        del owner[key]
    elif how == 4 and isinstance(owner, dict):
        owner[str(draw.choice(ODD))[:200]] = owner.pop(key)
    elif isinstance(owner, dict):
        owner[str(draw.choice(ODD))[:200]] = draw.choice(ODD)
    else:
        owner.insert(0, draw.choice(ODD))
    return document


def document(source: str, draw: random.Random) -> str:
    """Spoil a YAML document, as text or as a tree."""
    if draw.random() < 0.5:
        return text(source, draw)
    spoilt = tree(yaml.safe_load(source), draw)
    return yaml.safe_dump(spoilt, sort_keys=False, allow_unicode=draw.random() < 0.5)


def content(source: bytes, draw: random.Random, other: bytes = b"") -> bytes:
    """Spoil bytes: bits that flipped, an end or a start that is missing, zeros, noise, another file's."""
    place = draw.randrange(max(len(source), 1))
    rest = len(source) - place
    return draw.choice(
        (
            _flipped(source, draw),
            _flipped(source, draw),
            source[:place],
            source[place:],
            source[:place] + bytes(rest),
            source[:place] + draw.randbytes(draw.randrange(1, 64)) + source[place + draw.randrange(64) :],
            draw.choice((b"", b"\0", b"{}", b"[]", b"null", b"PK\x03\x04", LFS)),
            other or source[::-1],
        )
    )


def _flipped(source: bytes, draw: random.Random) -> bytes:
    spoilt = bytearray(source or b"\0")
    for _ in range(draw.choice((1, 1, 2, 8))):
        spoilt[draw.randrange(len(spoilt))] ^= 1 << draw.randrange(8)
    return bytes(spoilt)


def record(source: bytes, draw: random.Random) -> bytes:
    """Spoil JSON so that it still is JSON."""
    return json.dumps(tree(json.loads(source), draw)).encode()


def archive(source: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """Take a zip apart, change its entries, put it together."""
    with zipfile.ZipFile(io.BytesIO(source)) as found:
        entries = {name: found.read(name) for name in found.namelist()}
    change(entries)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in entries.items():
            made.writestr(name, data)
    return buffer.getvalue()
