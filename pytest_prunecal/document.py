"""YAML documents read safely, each value knowing its file and line.

PyYAML's SafeLoader composes the document into nodes; nothing is ever constructed from tags. Anchors are
refused, so a small file cannot unfold into a large one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from yaml.constructor import SafeConstructor

from pytest_prunecal.errors import PrunecalError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


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
        """How an error message calls this value."""
        return self.path or "the document"

    def fail(self, problem: str) -> NoReturn:
        """Raise the one clear sentence about this value."""
        raise PrunecalError(f"{self.where}: {problem}")

    def mapping(self, allowed: Collection[str] | None = None) -> dict[str, Value]:
        """Read a mapping, in file order, whose keys are all in `allowed` (None: any key)."""
        if not isinstance(self.content, dict):
            self.fail(f"{self.label} must be a mapping of `key: value` lines")
        for key, value in self.content.items():
            if allowed is not None and key not in allowed:
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
        except (yaml.YAMLError, ValueError):
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
        value = self._number()
        if not low <= value <= high:
            self.fail(f"{self.label} is {value:g}; it must lie in [{low:g}, {high:g}]")
        return value

    def integer(self, low: float = -math.inf, high: float = math.inf) -> int:
        """Read a whole number in [low, high]."""
        value = self.number(low, high)
        if value != int(value):
            self.fail(f"{self.label} is {value:g}; it must be a whole number")
        return int(value)

    def boolean(self) -> bool:
        """Read true or false."""
        value = self.scalar()
        if not isinstance(value, bool):
            self.fail(f"{self.label} is {value!r}; it must be true or false")
        return value

    def _number(self) -> float:
        value = self.scalar()
        if isinstance(value, str):
            try:
                # YAML 1.1 reads `1e-4` as text; people mean the number.
                value = float(value)
            except ValueError:
                self.fail(f"{self.label} is {value!r}, which is not a number")
        if value is None or isinstance(value, bool):
            self.fail(f"{self.label} is {str(self.node.value)!r}, which is not a number")
        if not math.isfinite(value):
            self.fail(f"{self.label} is {value}, which is not a finite number")
        return float(value)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses anchors: their expansion is how a YAML file becomes a bomb."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "aliases are not supported here", event.start_mark)
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
        PrunecalError: not YAML, empty, several documents or anchors; with file and line.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PrunecalError(f"{name}:{line}: malformed YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise PrunecalError(f"{name}:1: malformed YAML: {reason}") from None
    if node is None:
        raise PrunecalError(f"{name}:1: the file is empty")
    return _value(name, node, "")


def _value(name: str, node: yaml.Node, path: str, key: yaml.Node | None = None) -> Value:
    if isinstance(node, yaml.SequenceNode):
        items = [_value(name, item, f"{path}[{index}]") for index, item in enumerate(node.value)]
        return Value(name, node, path, items, key)
    if not isinstance(node, yaml.MappingNode):
        return Value(name, node, path, None, key)
    entries: dict[str, Value] = {}
    for key_node, value_node in node.value:
        here = Value(name, key_node, path, None)
        if not isinstance(key_node, yaml.ScalarNode):
            here.fail(f"a key in {here.label} is not plain text")
        text = str(key_node.value)
        if text in entries:
            here.fail(f"{text!r} stands twice in {here.label}; keep one")
        entries[text] = _value(name, value_node, f"{path}.{text}" if path else text, key_node)
    return Value(name, node, path, entries, key)


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
