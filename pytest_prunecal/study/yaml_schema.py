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

from pytest_prunecal.study.text import quoted
from pytest_prunecal.study.yaml_reader import Value

if TYPE_CHECKING:
    from collections.abc import Collection

T = TypeVar("T")
Reader = Callable[[Value], T]

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

    def check(value: Value, found: str) -> None:
        if found not in choices:
            value.fail(f"{value.label} is {quoted(found)}; it must be one of {', '.join(choices)}")

    return checked(text, check)


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


class optional(NamedTuple):  # noqa: N801 - stands among functions, in a declaration
    """A field that may be missing: it is not handed on then, and the type's own default holds."""

    read: Reader[Any] | None


def record(
    build: Callable[..., T],
    missing: str = "{label} has no {key!r}; add it",
    /,
    **fields: Reader[Any] | optional | None,
) -> Reader[T]:
    """A mapping with these keys and no others, each handed to `build` by its name.

    Args:
        build: the type, or a function where the type's fields have other names.
        missing: the sentence about a key that is not there, with {label} and {key!r}.
        fields: how each key is read; None if it is allowed here and read elsewhere.
    """
    needed = [key for key, field in fields.items() if not isinstance(field, optional)]
    readers = {key: field.read if isinstance(field, optional) else field for key, field in fields.items()}

    def read(value: Value) -> T:
        entries = value.mapping(fields)
        for key in needed:
            if key not in entries:
                value.fail(missing.format(label=value.label, key=key))
        return build(**{key: item(entries[key]) for key, item in readers.items() if item and key in entries})

    return read


def check_format(top: Value, kind: str, known: int) -> None:
    """Refuse a file of another format before anything else is read: its other keys may be new, too."""
    found = top.mapping().get("prunecal")
    if found and found.integer() != known:
        found.fail(f"{kind} format {found.integer()} is not known here; this version reads {known}")
