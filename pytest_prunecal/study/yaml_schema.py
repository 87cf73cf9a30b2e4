"""Schemas: a file is read by a declaration of one line a field.

A reader is any function that takes a `Value` and gives what it says, or raises the one clear sentence with
file and line. Small readers make up larger ones:

    >>> from pytest_prunecal.study.yaml_reader import parse
    >>> read = record(dict, epochs=integer(0), schedule=choice("step", "cosine"), note=optional(text))
    >>> read(parse("{epochs: 8, schedule: step}", "mine.yaml"))
    {'epochs': 8, 'schedule': 'step'}
    >>> read(parse("epochs: 8", "mine.yaml"))
    Traceback (most recent call last):
    pytest_prunecal.errors.PrunecalError: mine.yaml:1: the document has no 'schedule'; add it
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pytest_prunecal.study.yaml_reader import Value

if TYPE_CHECKING:
    from collections.abc import Collection

T = TypeVar("T")
Reader = Callable[[Value], T]

MISSING = "{label} has no {key!r}; add it"

text = Value.text
boolean = Value.boolean
numeric = Value.numeric


def number(low: float = -math.inf, high: float = math.inf) -> Reader[float]:
    """A finite number in [low, high]."""
    return lambda value: value.number(low, high)


def integer(low: float = -math.inf, high: float = math.inf) -> Reader[int]:
    """A whole number in [low, high]."""
    return lambda value: value.integer(low, high)


def choice(*choices: str) -> Reader[str]:
    """One of a few texts."""

    def read(value: Value) -> str:
        if value.text() not in choices:
            value.fail(f"{value.label} is {value.text()!r}; it must be one of {', '.join(choices)}")
        return value.text()

    return read


def sequence(item: Reader[T]) -> Reader[tuple[T, ...]]:
    """A list whose items are all read alike."""
    return lambda value: tuple(item(entry) for entry in value.sequence())


def mapping_of(item: Reader[T], allowed: Collection[str] | None = None) -> Reader[dict[str, T]]:
    """A mapping whose values are all read alike, its keys in `allowed` (None: any key)."""
    return lambda value: {key: item(entry) for key, entry in value.mapping(allowed).items()}


def either(single: Reader[T], mapping: Reader[T]) -> Reader[T]:
    """What may be written in short, as a single value, or in full, as a mapping."""

    def read(value: Value) -> T:
        if isinstance(value.content, list):
            value.fail(f"{value.label} must be a single value, or a mapping of `key: value` lines")
        return single(value) if value.content is None else mapping(value)

    return read


def checked(read: Reader[T], check: Callable[[Value, T], None]) -> Reader[T]:
    """What `read` gives, once `check` has seen it and has not raised."""

    def read_and_check(value: Value) -> T:
        found = read(value)
        check(value, found)
        return found

    return read_and_check


class _Optional(NamedTuple):
    read: Reader[Any]


def optional(read: Reader[Any]) -> _Optional:
    """A field that may be missing: it is not handed on then, and the type's own default holds."""
    return _Optional(read)


def record(
    build: Callable[..., T], missing: str = MISSING, /, **fields: Reader[Any] | _Optional | None
) -> Reader[T]:
    """A mapping with these keys and no others, each handed to `build` by its name.

    Args:
        build: the type, or a function where the type's fields are called otherwise.
        missing: the sentence about a key that is not there, with {label} and {key!r}.
        fields: the reader of each key, called in this order; None for a key that is read elsewhere.
    """

    def read(value: Value) -> T:
        entries = value.mapping(fields)
        found: dict[str, object] = {}
        for key, field in fields.items():
            if isinstance(field, _Optional):
                if key in entries:
                    found[key] = field.read(entries[key])
            elif field:
                found[key] = field(entry(value, key, missing))
        return build(**found)

    return read


def entry(owner: Value, key: str, missing: str = MISSING) -> Value:
    """What stands behind a key of a mapping that must have it."""
    found = owner.mapping().get(key)
    if found is None:
        owner.fail(missing.format(label=owner.label, key=key))
    return found


def check_format(top: Value, kind: str, known: int, missing: str = MISSING) -> None:
    """Refuse a file of another format, before the rest of it is read: its other keys may be new, too."""
    found = entry(top, "prunecal", missing)
    if found.integer() != known:
        found.fail(f"{kind} format {found.integer()} is not known here; this version reads {known}")
