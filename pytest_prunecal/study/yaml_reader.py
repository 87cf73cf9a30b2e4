"""YAML documents read safely, each value knowing its file and line.

PyYAML parses the document into events, by libyaml where it has that, and values are made from these. Tags are
refused, so nothing is ever constructed from one; anchors are too, so a small file cannot unfold into a large
one. Size, depth and number of values are limited.
"""

from __future__ import annotations

import gc
import math
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from yaml.constructor import SafeConstructor
from yaml.reader import Reader
from yaml.resolver import Resolver

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import regular_file
from pytest_prunecal.study.known_cause import known_cause
from pytest_prunecal.study.text import LONGEST_QUOTE, quoted, visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

LARGEST = 2**22
"""Bytes of a file: a baseline of 1000 cells with 20 metrics each has 1.3 million."""
MOST_VALUES = 500_000
"""Values of a file, keys included: such a baseline has 200,000."""
DEEPEST = 32
"""Mappings and lists within each other."""
LONGEST_NUMBER = 500
"""Characters of a number: the largest float in full has 309 digits."""

# Not YAML 1.1's numbers: 010 is eight there and 1:30 ninety, while 1e-4 is a text.
_DECIMAL = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_TEXT = "tag:yaml.org,2002:str"
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
        if not self.path:
            return "the document"
        return self.path if self.path.isprintable() and len(self.path) <= LONGEST_QUOTE else quoted(self.path)

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
                    value.fail(
                        f"unknown key {quoted(key)} in {self.label}; known are {', '.join(sorted(allowed))}"
                    )
        return self.content

    def over(self, base: Value) -> Value:
        """Lay this value over `base`: mappings key by key; anything else replaces, and so does `{}`."""
        if not (self.content and isinstance(self.content, dict) and isinstance(base.content, dict)):
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
        written = str(self.node.value)
        try:
            value = _constructed(written, plain=self.node.style is None)
        except (yaml.YAMLError, ValueError, OverflowError):
            self.fail(f"{self.label} is {quoted(written)}, which YAML cannot read; quote it if it is text")
        if value is None or isinstance(value, (str, int, float, bool)):
            return value
        return written  # a date, say: here it is the text that was written

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
        if len(text) > LONGEST_NUMBER:
            limit = f"a number of at most {LONGEST_NUMBER} characters"
            self.fail(f"{self.label} is {quoted(text)}, which is not {limit}")
        decimal = _DECIMAL.fullmatch(text)
        if not decimal and not _NOT_FINITE.fullmatch(text):
            self.fail(f"{self.label} is {quoted(text)}, which is not a number")
        value = float(text) if decimal else math.nan
        if not math.isfinite(value):
            self.fail(f"{self.label} is {text}, which is not a finite number")
        return int(text) if text.lstrip("+-").isdecimal() else value

    def boolean(self) -> bool:
        """Read true or false."""
        value = self.scalar()
        if not isinstance(value, bool):
            self.fail(f"{self.label} is {quoted(str(self.node.value))}; it must be true or false")
        return value


# The same events and marks from either; libyaml is ten times as fast.
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SMALL = 2**16  # characters that PyYAML's own parser reads in less than a second
_BOM = "\ufeff"
_NOT_ALLOWED = re.compile(f"{Reader.NON_PRINTABLE.pattern}|{_BOM}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_TOO_DEEP = f"nested too deeply, more than {DEEPEST} levels"
_NO_CHARACTER = "no such character, or half a character"


def _constructed(written: str, *, plain: bool) -> Any:  # noqa: ANN401 - whatever YAML makes of a scalar
    """What a scalar says; raises ValueError and others for one that says nothing."""
    tag = Resolver().resolve(yaml.ScalarNode, written, (plain, not plain))  # type: ignore[no-untyped-call]
    if tag == _TEXT:
        return written
    if len(written) > LONGEST_NUMBER:  # 1:30:00… to any length is a number, and takes the square of its time
        raise ValueError
    return SafeConstructor().construct_object(yaml.ScalarNode(tag, written))


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Spare Python looking for garbage where there is none: half of the time that a large file takes."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def parse(text: str, name: str) -> Value:
    """Read one YAML document.

    Args:
        text: the file's content.
        name: the file's name for messages.

    Returns:
        The document's top value.

    Raises:
        PrunecalError: not YAML, empty, several documents, tags or anchors, deeper or more values than the
            limits of this module; with file and line.
    """
    text = text.removeprefix(_BOM)  # marks count from behind it
    if odd := _NOT_ALLOWED.search(text):
        character, line = odd.group(), text.count("\n", 0, odd.start()) + 1
        _malformed(name, line, f"character #x{ord(character):04x} is not allowed")
    try:
        return _parse(text, name, _FAST)
    except yaml.MarkedYAMLError as error:
        if _FAST is not yaml.SafeLoader and len(text) <= _SMALL:
            with suppress(yaml.MarkedYAMLError):  # it takes `{a: b:}`, which libyaml does not
                return _parse(text, name, yaml.SafeLoader)
        problem = (error.problem or "cannot be read").removeprefix("but ")
        if "invalid Unicode character" in problem:
            problem = _NO_CHARACTER
        if "nesting" in problem:
            problem = _TOO_DEEP
        _malformed(name, error.problem_mark.line + 1 if error.problem_mark else 1, problem)


def _parse(text: str, name: str, kind: Any) -> Value:  # noqa: ANN401 - either parser of PyYAML
    loader = kind(text)
    try:
        with _nothing_collected():
            top = _compose(_events(loader, name), name)
    except (ValueError, OverflowError):  # PyYAML's own parser on "\\UFFFFFFFF" and the like
        _malformed(name, loader.line + 1, f"{_NO_CHARACTER}, or no such number")
    finally:
        loader.dispose()
    if top is None:
        raise PrunecalError(f"{name}:1: the file is empty")
    return top


def _malformed(name: str, line: int, problem: str) -> NoReturn:
    raise PrunecalError(f"{name}:{line}: malformed YAML: {visible(problem)}") from None


def _events(loader: Any, name: str) -> Iterator[yaml.Event]:  # noqa: ANN401 - either parser of PyYAML
    """The events of one document, as far as they are within the limits."""
    depth = values = 0
    began = False
    while (event := loader.get_event()) is not None:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            if began:
                _malformed(name, line, "found another document")
            began = True
        elif isinstance(event, (yaml.NodeEvent, yaml.CollectionEndEvent)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            values += isinstance(event, yaml.NodeEvent)
            if depth > DEEPEST:
                _malformed(name, line, _TOO_DEEP)
            if values > MOST_VALUES:
                _malformed(name, line, f"more than {MOST_VALUES} values")
            for what in ("anchor", "tag"):
                if getattr(event, what, None) is not None:
                    _malformed(name, line, f"{what}s are not supported here")
            yield event


class _Open:
    """A mapping or list whose end has not come."""

    def __init__(self, value: Value) -> None:
        self.value = value
        self.key: yaml.Node | None = None  # of the value to come, in a mapping

    def path(self) -> str:
        """Where the next value stands."""
        before = self.value.path
        if isinstance(self.value.content, list):
            return f"{before}[{len(self.value.content)}]"
        if self.key is None:
            return before
        return f"{before}.{self.key.value}" if before else str(self.key.value)

    def add(self, value: Value) -> None:
        """Put the next value where it belongs; in a mapping every other one is a key."""
        self.value.node.value.append(value.node if self.key is None else (self.key, value.node))
        if isinstance(self.value.content, list):
            self.value.content.append(value)
        elif isinstance(self.value.content, dict) and self.key is not None:
            self.value.content[str(self.key.value)] = value
            self.key = None

    def wants_key(self) -> bool:
        """Whether what comes next is a key."""
        return self.key is None and isinstance(self.value.content, dict)

    def set_key(self, key: Value) -> None:
        """Take the key of the value to come."""
        if not isinstance(key.node, yaml.ScalarNode):
            key.fail(f"a key in {key.label} is not plain text")
        if key.node.value in (self.value.content or ()):
            key.fail(f"{quoted(key.node.value)} stands twice in {key.label}; keep one")
        self.key = key.node


def _compose(events: Iterator[yaml.Event], name: str) -> Value | None:
    """Values from events, without recursion: no nesting exhausts the stack."""
    above: list[_Open] = []
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            value = above.pop().value
            value.node.end_mark = event.end_mark
        else:
            value = _begun(event, name, above[-1] if above else None)
            if above and above[-1].wants_key():
                above[-1].set_key(value)
                continue
            if value.content is not None:
                above.append(_Open(value))
                continue
        if not above:
            return _last(events, value)
        above[-1].add(value)
    return None


def _last(events: Iterator[yaml.Event], value: Value) -> Value:
    """The only value of its stream."""
    for _ in events:  # raises where another document follows
        pass
    return value


def _begun(event: Any, name: str, above: _Open | None) -> Value:  # noqa: ANN401 - three kinds of events
    """A single value, or a collection that begins."""
    path, key = (above.path(), above.key) if above else ("", None)
    kind: Any
    if not isinstance(event, yaml.ScalarEvent):
        is_list = isinstance(event, yaml.SequenceStartEvent)
        kind = yaml.SequenceNode if is_list else yaml.MappingNode
        node = kind(None, [], event.start_mark, event.end_mark, event.flow_style)
        return Value(name, node, path, [] if is_list else {}, key)
    # libyaml calls the style of a bare text "".
    kind = yaml.ScalarNode
    node = kind("", event.value, event.start_mark, event.end_mark, event.style or None)
    value = Value(name, node, path, None, key)
    if not event.value.isascii() and _SURROGATE.search(event.value):
        value.fail(f"{quoted(event.value)} in {value.label} holds half a character")
    return value


def read(path: Path, name: str) -> Value:
    """Read one YAML file; see `parse`."""
    return parse(read_text(path, name), name)


def read_text(path: Path, name: str) -> str:
    """Read a UTF-8 file, its line ends as they are.

    Raises:
        PrunecalError: the file cannot be read, is no regular file, is too large, is not UTF-8, or is what git
            left in its place.
    """
    try:
        content = regular_file.read(path, name, LARGEST, "no YAML file may be larger: is it the right one?")
    except FileNotFoundError as error:
        raise PrunecalError(f"{name}: cannot be read: {error.strerror}") from None
    if cause := known_cause(content):
        raise PrunecalError(f"{name}: {cause}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PrunecalError(f"{name}: is not UTF-8 text (byte {error.start})") from None
