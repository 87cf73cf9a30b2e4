"""Splicing numbers into the text of a baseline file, everything else left to the byte."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import yaml

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import uncertainty, yaml_reader
from pytest_prunecal.study.cell import canonical_order, cell_from_id
from pytest_prunecal.study.metric import in_order, recorded, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.uncertainty import Uncertainty
    from pytest_prunecal.study.yaml_reader import Value

    Numbers = Mapping[str, tuple[Number, Uncertainty]]

_BOM = "\ufeff"  # marks of values count from behind it
_ODD_LINE_END = re.compile("\r(?!\n)|[\x85\u2028\u2029]")  # YAML ends a line there, an editor may not


class Editor:
    """Collects replacements of spans of the text, then carries them out in one pass.

    Args:
        text: the baseline file.
        name: how messages call it.
        pruners: canonical order of cells.
        metrics: canonical order of metrics.
    """

    def __init__(self, text: str, name: str, pruners: Sequence[str], metrics: Mapping[str, Metric]) -> None:
        self._original, self._name = text, name
        self._newline = "\r\n" if "\r\n" in text else "\n"
        text = text.removeprefix(_BOM)
        self._text = text if text.endswith("\n") else text + self._newline
        self._top = yaml_reader.parse(self._text, name).mapping()
        self._pruners, self._metrics = pruners, metrics
        self._edits: list[tuple[int, int, str]] = []
        self._orders = [
            (value, canonical_order(cell_from_id("", key), pruners)) for key, value in self._cells().items()
        ]

    def result(self) -> str:
        """The edited text; the text itself if there is nothing to edit.

        Raises:
            PrunecalError: the file's layout defeats the splicing.
        """
        if not self._edits:
            return self._original
        if _ODD_LINE_END.search(self._original):
            raise PrunecalError(unusual(self._name))
        parts, place = [_BOM] if self._original.startswith(_BOM) else [], 0
        # An insertion before a removal at the same place; several at one place in the order they came.
        for start, end, new in sorted(self._edits, key=lambda edit: edit[:2]):
            if start < place:
                raise PrunecalError(unusual(self._name))
            parts += [self._text[place:start], new]
            place = end
        return "".join([*parts, self._text[place:]])

    def set_fingerprint(self, fingerprint: str) -> None:
        """Name the version of the protocol that the file belongs to."""
        value = self._top["protocol"].mapping()["fingerprint"]
        if value.text() != fingerprint:
            self._replace(value, scalar(fingerprint))

    def set_environment(self, environment: Mapping[str, str]) -> None:
        """Say where the file's numbers were measured."""
        value = self._top.get("environment")
        if value is None:
            self._insert(self._line_end(self._top["protocol"]), [f"environment: {_flow(environment)}"])
        else:
            self._splice_environment(value, environment)

    def set_base(self, bases: Mapping[str, baseline.PinnedBase]) -> None:
        """Pin base networks."""
        owner = self._top.get("base")
        pinned = {} if owner is None or baseline.empty(owner) else owner.mapping()
        lines: list[str] = []
        for kind, base in bases.items():
            fields = {"file": base.file, "sha256": base.sha256, "recipe": base.recipe}
            if kind not in pinned:
                lines += [f"  {kind}:", *(f"    {key}: {_plain(text)}" for key, text in fields.items())]
                continue
            for key, entry in pinned[kind].mapping().items():
                if entry.text() != fields[key]:
                    self._replace(entry, _plain(fields[key]))
        if owner is None and lines:
            lines.insert(0, "base: # every run starts from these networks instead of training its own")
        if lines:
            self._insert(
                self._line_end(owner or self._top.get("environment") or self._top["protocol"]), lines
            )

    def set_images(self, images: baseline.ImagesFile) -> None:
        """Say where the results by image are."""
        owner = self._top.get("images")
        fields = {"file": images.file, "sha256": images.sha256}
        if owner is not None:
            for key, entry in owner.mapping().items():
                if entry.text() != fields[key]:
                    self._replace(entry, _plain(fields[key]))
            return
        after = self._top.get("base") or self._top.get("environment") or self._top["protocol"]
        self._insert(self._line_end(after), [f"images: {_flow(fields)}"])

    def remove_cell(self, cell_id: str) -> None:
        """Drop a cell with all that stands in it."""
        value = self._cells().get(cell_id)
        if value is not None:
            self._edits.append((self._line_start(self._key_start(value)), self._line_end(value), ""))

    def set_cell(
        self,
        cell_id: str,
        means: Mapping[str, Number],
        environment: Mapping[str, str],
        sure: Mapping[str, Uncertainty],
        network: str = "",
    ) -> None:
        """Write a cell's numbers, and where they were measured if not where the file's were.

        Args:
            cell_id: the cell.
            means: its numbers by metric.
            environment: where they were measured; empty if where the file's were.
            sure: how sure they are.
            network: SHA-256 of the file of the finished network; empty if there is none.
        """
        numbers = {
            metric: (recorded(mean), sure.get(metric, uncertainty.UNKNOWN).recorded)
            for metric, mean in means.items()
        }
        value = self._cells().get(cell_id)
        if value is None:
            self._add_cell(cell_id, numbers, environment, network)
        elif not (baseline.empty(value) or _in_flow(value.node)):
            self._splice_cell(value, numbers, environment, network)
        elif not _says(value, numbers, environment, network):
            self._rewrite_cell(value, numbers, environment, network)

    def _cells(self) -> dict[str, Value]:
        cells = self._top["cells"]
        return {} if baseline.empty(cells) else cells.mapping()

    def _add_cell(self, cell_id: str, numbers: Numbers, environment: Mapping[str, str], network: str) -> None:
        indent = self._indent()
        lines = [
            f"{indent}{scalar(cell_id)}:",
            *self._body(numbers, environment, network, indent + "  "),
        ]
        mine = canonical_order(cell_from_id("", cell_id), self._pruners)
        earlier = [value for value, order in self._orders if order < mine]
        self._insert(self._line_end(earlier[-1]) if earlier else self._open_cells(), lines)

    def _open_cells(self) -> int:
        """Start of the line below `cells:`, an empty `{}` behind it taken away."""
        cells = self._top["cells"]
        if cells.content:
            return self._text.find("\n", self._key_end(cells)) + 1
        self._blank(cells)
        return self._line_end(cells)

    def _rewrite_cell(
        self, value: Value, numbers: Numbers, environment: Mapping[str, str], network: str
    ) -> None:
        """Turn `cell: {ece: 0.1}` or an empty cell into a block, hand-written fields kept as written."""
        entries = {} if baseline.empty(value) else value.mapping()
        indent = self._indent() + "  "
        kept = [
            f"{indent}{key}: {self._source(entry)}"
            for key, entry in entries.items()
            if key in baseline.CELL_FIELDS and key not in ("environment", "network")
        ]
        self._blank(value)
        self._insert(self._line_end(value), [*kept, *self._body(numbers, environment, network, indent)])

    def _splice_cell(
        self, value: Value, numbers: Numbers, environment: Mapping[str, str], network: str
    ) -> None:
        entries = value.mapping()
        first = next(iter(entries.values()))
        indent = self._text[self._line_start(self._key_start(first)) : self._key_start(first)]
        own = entries.get("environment")
        if own is None and environment:
            place = self._line_start(self._key_start(first))
            self._insert(place, [f"{indent}environment: {_flow(environment)}"])
        elif own is not None and environment:
            self._splice_environment(own, environment)
        elif own is not None:
            self._edits.append((self._line_start(self._key_start(own)), self._line_end(own), ""))
        self._splice_network(entries.get("network"), network, first, indent)
        ordered = in_order(numbers, self._metrics)
        for position, metric in enumerate(ordered):
            new = numbers[metric]
            if metric in entries:
                if uncertainty.read(entries[metric]) != new:
                    self._replace_number(entries[metric], new)
                continue
            before = [entries[name] for name in ordered[:position] if name in entries]
            others = [entry for key, entry in entries.items() if key in baseline.CELL_FIELDS]
            place = self._line_end((before or others or [first])[-1])
            self._insert(place, [f"{indent}{scalar(metric)}: {_number(new)}"])
        for key, entry in entries.items():
            if key not in numbers and key not in baseline.CELL_FIELDS:
                self._edits.append((self._line_start(self._key_start(entry)), self._line_end(entry), ""))

    def _splice_network(self, own: Value | None, network: str, first: Value, indent: str) -> None:
        """Name the file of a finished network, or none; `first` of its cell's entries stands below it."""
        if own is None:
            lines = [f"{indent}network: {_plain(network)}"] if network else []
            self._insert(self._line_start(self._key_start(first)), lines)
        elif not network:
            self._edits.append((self._line_start(self._key_start(own)), self._line_end(own), ""))
        elif own.text() != network:
            self._replace(own, _plain(network))

    def _replace_number(self, value: Value, new: tuple[Number, Uncertainty]) -> None:
        """Write a number anew, whether it stands bare or with its uncertainty."""
        self._refuse_comments(value)
        end = _last_leaf(value.node).end_mark.index
        self._edits.append((value.node.start_mark.index, end, _number(new)))

    def _splice_environment(self, value: Value, environment: Mapping[str, str]) -> None:
        """Text by text, so that what people wrote beside them stays; anew if a flow mapping's keys change."""
        entries = value.mapping()
        if _in_flow(value.node) and set(entries) != set(environment):
            self._refuse_comments(value)
            self._replace(value, _flow(environment))
            return
        for key, text in environment.items():
            if key not in entries:
                last = list(entries.values())[-1]
                start = self._key_start(last)
                indent = self._text[self._line_start(start) : start]
                self._insert(self._line_end(last), [f"{indent}{key}: {_plain(text)}"])
            elif entries[key].text() != text:
                self._replace(entries[key], _plain(text))
        for key, entry in entries.items():
            if key not in environment:
                self._edits.append((self._line_start(self._key_start(entry)), self._line_end(entry), ""))

    def _body(self, numbers: Numbers, environment: Mapping[str, str], network: str, indent: str) -> list[str]:
        lines = [f"{indent}environment: {_flow(environment)}"] if environment else []
        lines += [f"{indent}network: {_plain(network)}"] if network else []
        lines += [
            f"{indent}{scalar(metric)}: {_number(numbers[metric])}"
            for metric in in_order(numbers, self._metrics)
        ]
        return lines

    def _indent(self) -> str:
        cells = self._cells()
        if not cells or _in_flow(self._top["cells"].node):
            return "  "
        start = self._key_start(next(iter(cells.values())))
        return self._text[self._line_start(start) : start]

    def _blank(self, value: Value) -> None:
        """Take away what stands behind a key, and the space before it; a comment behind it stays."""
        self._refuse_comments(value)
        start, end = self._key_end(value), value.node.end_mark.index
        if self._text[start : value.node.start_mark.index].strip():
            start = value.node.start_mark.index
        if (start, end, "") not in self._edits:
            self._edits.append((start, end, ""))

    def _refuse_comments(self, value: Value) -> None:
        """Refuse to write a value anew that has comments inside: they would be lost."""
        place = value.node.start_mark.index
        for start, end in [*_spans(value.node), (_last_leaf(value.node).end_mark.index, 0)]:
            if "#" in self._text[place:start]:
                raise PrunecalError(unusual(self._name))
            place = end

    def _replace(self, value: Value, new: str) -> None:
        if isinstance(value.node, yaml.ScalarNode) and value.node.style in ("|", ">"):
            raise PrunecalError(unusual(self._name))
        self._edits.append((value.node.start_mark.index, value.node.end_mark.index, new))

    def _insert(self, place: int, lines: Sequence[str]) -> None:
        if lines:
            self._edits.append((place, place, "".join(line + self._newline for line in lines)))

    def _source(self, value: Value) -> str:
        return self._text[value.node.start_mark.index : value.node.end_mark.index]

    def _line_start(self, index: int) -> int:
        return self._text.rfind("\n", 0, index) + 1

    def _line_end(self, value: Value) -> int:
        """Start of the line after the last character of a value."""
        end = _last_leaf(value.node).end_mark.index
        if end > 0 and self._text[end - 1] == "\n":
            return end
        return self._text.find("\n", end) + 1

    def _key_start(self, value: Value) -> int:
        assert value.key is not None  # noqa: S101 - only called on values of a mapping
        return int(value.key.start_mark.index)

    def _key_end(self, value: Value) -> int:
        """Just after the colon."""
        assert value.key is not None  # noqa: S101 - only called on values of a mapping
        return self._text.index(":", value.key.end_mark.index) + 1


def _in_flow(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and bool(node.flow_style)


def _says(value: Value, numbers: Numbers, environment: Mapping[str, str], network: str) -> bool:
    """Whether a cell already holds all of it."""
    entries = {} if baseline.empty(value) else value.mapping()
    own = entries["environment"].mapping() if "environment" in entries else {}
    found = {
        key: uncertainty.read(entry) for key, entry in entries.items() if key not in baseline.CELL_FIELDS
    }
    named = entries["network"].text() if "network" in entries else ""
    own_texts = {key: entry.text() for key, entry in own.items()}
    return (found, own_texts, named) == (dict(numbers), dict(environment), network)


def _number(number: tuple[Number, Uncertainty]) -> str:
    mean, sure = number
    return uncertainty.written(written(mean), sure)


def _spans(node: yaml.Node) -> Iterator[tuple[int, int]]:
    """Where the single values of a node stand, keys included, in the order of the text."""
    if isinstance(node, yaml.ScalarNode):
        yield node.start_mark.index, node.end_mark.index
        return
    for item in node.value:
        for part in item if isinstance(item, tuple) else (item,):
            yield from _spans(part)


def _last_leaf(node: yaml.Node) -> yaml.Node:
    """The node that ends a value: a block mapping's own end mark lies past the comments that follow it."""
    while isinstance(node, (yaml.MappingNode, yaml.SequenceNode)) and not _in_flow(node) and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(node, yaml.MappingNode) else last
    return node


@lru_cache(maxsize=4096)
def scalar(text: str) -> str:
    """A text as YAML: quoted only where it would be read as something else."""
    flow = yaml.safe_dump([text], default_flow_style=True, width=4096)
    return flow.strip()[1:-1]


def _flow(mapping: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {_plain(value)}" for key, value in mapping.items()) + "}"


def _plain(text: str) -> str:
    """A text as YAML in a place that holds nothing but texts: bare wherever it reads back as it is."""
    try:
        bare = yaml_reader.parse(f"{{key: {text}}}", "").mapping()["key"].text() == text
    except PrunecalError:
        bare = False
    return text if bare else scalar(text)


def unusual(name: str) -> str:
    """Say that a file cannot be edited."""
    return f"{name}: cannot be refreshed in place, its layout is too unusual; it was left as it is"
