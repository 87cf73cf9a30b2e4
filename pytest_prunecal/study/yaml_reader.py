"""YAML documents read safely, each value knowing its file and line.

PyYAML's SafeLoader composes the document into nodes. Tags are refused, so nothing is ever constructed from
one; anchors are too, so a small file cannot unfold into a large one.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from yaml.constructor import SafeConstructor
from yaml.reader import ReaderError

from pytest_prunecal.errors import PrunecalError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

# Not YAML 1.1's numbers: 010 is eight there and 1:30 ninety, while 1e-4 is a text.
_DECIMAL = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.?(inf|infinity|nan)", re.IGNORECASE)


@dataclass(frozen=True)
class Value:
    """One value of a YAML document and where it stands.

    Attributes:
        name: the file's name as shown to people.
        node: PyYAML's composed node, with its marks.
        path: the keys that lead here, such as `cells.weight-0.3.ece`; empty at the top.
        content: the values of a mapping by key, or of a list; None for a single value.
        key: the node of the key that this value stands behind, in a mapping.
    """

    name: str
    node: yaml.Node
    path: str
    content: dict[str, Value] | list[Value] | None
    key: yaml.Node | None = None

    @property
    def line(self) -> int:
        """Line of the file, counted from 1."""
        return int(self.node.start_mark.line) + 1

    @property
    def where(self) -> str:
        """`file:line`."""
        return f"{self.name}:{self.line}"

    @property
    def label(self) -> str:
        """How an error message calls this value, in one line."""
        return (self.path if self.path.isprintable() else repr(self.path)) or "the document"

    def fail(self, problem: str) -> NoReturn:
        """Raise the one clear sentence about this value."""
        raise PrunecalError(f"{self.where}: {problem}")

    def mapping(self, allowed: Collection[str] | None = None) -> dict[str, Value]:
        """Read a mapping, in file order, whose keys are all in `allowed` (None: any key)."""
        if not isinstance(self.content, dict):
            self.fail(f"{self.label} must be a mapping of `key: value` lines")
        if allowed is not None:
            for key, value in self.content.items():
                if key not in allowed:
                    value.fail(f"unknown key {key!r} in {self.label}; known are {', '.join(sorted(allowed))}")
        return self.content

    def over(self, base: Value) -> Value:
        """Lay this value over `base`: mappings key by key, anything else replaces."""
        if not isinstance(self.content, dict) or not isinstance(base.content, dict):
            return self
        merged = dict(base.content)
        for key, value in self.content.items():
            merged[key] = value.over(merged[key]) if key in merged else value
        return Value(self.name, self.node, self.path, merged, self.key)

    def sequence(self) -> list[Value]:
        """Read a list."""
        if not isinstance(self.content, list):
            self.fail(f"{self.label} must be a list, such as [1, 2]")
        return self.content

    def scalar(self) -> str | int | float | bool | None:
        """Read a plain value by YAML's own rules for null, booleans and numbers."""
        if not isinstance(self.node, yaml.ScalarNode):
            self.fail(f"{self.label} must be a single value")
        constructor = SafeConstructor()
        try:
            value: Any = constructor.construct_object(self.node)
        except (yaml.YAMLError, ValueError, OverflowError):
            self.fail(f"{self.label} is {self.node.value!r}, which YAML cannot read; quote it if it is text")
        if value is None or isinstance(value, (str, int, float, bool)):
            return value
        return str(self.node.value)  # a date, say: here it is the text that was written

    def text(self) -> str:
        """Read a text."""
        value = self.scalar()
        if value is None or value == "":
            self.fail(f"{self.label} must be a text and is empty")
        return str(self.node.value)

    def number(self, low: float = -math.inf, high: float = math.inf) -> float:
        """Read a finite number in [low, high]."""
        value = float(self.numeric())
        if not low <= value <= high:
            self.fail(f"{self.label} is {value:g}; it must lie in [{low:g}, {high:g}]")
        return value

    def integer(self, low: float = -math.inf, high: float = math.inf) -> int:
        """Read a whole number in [low, high]."""
        value = self.number(low, high)
        if value != int(value):
            self.fail(f"{self.label} is {value:g}; it must be a whole number")
        return int(self.numeric())

    def numeric(self) -> int | float:
        """Read a finite decimal number, an int if it is written without point and exponent."""
        if not isinstance(self.node, yaml.ScalarNode):
            self.fail(f"{self.label} must be a single value")
        text = str(self.node.value)
        decimal = _DECIMAL.fullmatch(text)
        if not decimal and not _NOT_FINITE.fullmatch(text):
            self.fail(f"{self.label} is {text!r}, which is not a number")
        value = float(text) if decimal else math.nan
        if not math.isfinite(value):
            self.fail(f"{self.label} is {text}, which is not a finite number")
        return int(text) if text.lstrip("+-").isdecimal() else value

    def boolean(self) -> bool:
        """Read true or false."""
        value = self.scalar()
        if not isinstance(value, bool):
            self.fail(f"{self.label} is {value!r}; it must be true or false")
        return value


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses tags, and anchors: their expansion is how a YAML file becomes a bomb."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        for what in ("anchor", "tag"):
            if getattr(event, what, None) is not None:
                raise yaml.MarkedYAMLError(None, None, f"{what}s are not supported here", event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


def parse(text: str, name: str) -> Value:
    """Read one YAML document.

    Args:
        text: the file's content.
        name: the file's name for messages.

    Returns:
        The document's top value.

    Raises:
        PrunecalError: not YAML, empty, several documents, tags or anchors; with file and line.
    """
    try:
        loader = _Loader(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise PrunecalError(
            f"{name}:{line}: malformed YAML: character #x{ord(text[error.position]):04x} is not allowed"
        ) from None
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = (error.problem or "cannot be read").removeprefix("but ")
        raise PrunecalError(f"{name}:{line}: malformed YAML: {problem}") from None
    except (RecursionError, ValueError, OverflowError) as error:
        # The last two: PyYAML on "\UFFFFFFFF" and the like.
        reason = "nested too deeply" if isinstance(error, RecursionError) else "no such character or number"
        raise PrunecalError(f"{name}:{loader.line + 1}: malformed YAML: {reason}") from None
    finally:
        loader.dispose()
    if node is None:
        raise PrunecalError(f"{name}:1: the file is empty")
    return _value(name, node, "")


def _value(name: str, node: yaml.Node, path: str, key: yaml.Node | None = None) -> Value:
    if isinstance(node, yaml.SequenceNode):
        items = [_value(name, item, f"{path}[{index}]") for index, item in enumerate(node.value)]
        return Value(name, node, path, items, key)
    if not isinstance(node, yaml.MappingNode):
        return _encodable(Value(name, node, path, None, key))
    entries: dict[str, Value] = {}
    for key_node, value_node in node.value:
        here = Value(name, key_node, path, None)
        if not isinstance(key_node, yaml.ScalarNode):
            here.fail(f"a key in {here.label} is not plain text")
        _encodable(here)
        text = str(key_node.value)
        if text in entries:
            here.fail(f"{text!r} stands twice in {here.label}; keep one")
        entries[text] = _value(name, value_node, f"{path}.{text}" if path else text, key_node)
    return Value(name, node, path, entries, key)


def _encodable(value: Value) -> Value:
    r"""Refuse half a character, which `"\ud800"` stands for: no file and no terminal could show it."""
    if any("\ud800" <= character <= "\udfff" for character in value.node.value):
        value.fail(f"{value.node.value!r} in {value.label} holds half a character")
    return value


def read(path: Path, name: str) -> Value:
    """Read one YAML file; see `parse`."""
    return parse(read_text(path, name), name)


def read_text(path: Path, name: str) -> str:
    """Read a UTF-8 file, its line ends as they are.

    Raises:
        PrunecalError: the file cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise PrunecalError(f"{name}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise PrunecalError(f"{name}: is not UTF-8 text (byte {error.start})") from None
