"""What the reference pages say of the plugin, taken from the plugin itself when the site is built.

A line `<!-- generated: NAME -->` of a page gives way to what `PARTS[NAME]` makes, and a block that is marked
as a file gets its name as a title. mkdocs loads this module as a hook.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_prunecal.gate import options
from pytest_prunecal.study import builtin
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.protocol_file import built_in_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

_MARK = re.compile(r"^<!-- generated: (.+) -->$", re.MULTILINE)
_FILE = re.compile(r"^<!-- file: (.+) -->\n(```\w+)$", re.MULTILINE)
SCHEMA = "reference/report.schema.json"


class Option(NamedTuple):
    """An option as the plugin registers it with pytest."""

    name: str
    metavar: str
    optional: bool
    help: str


class _Recorder:
    """Stands in for pytest's parser and keeps what is registered with it."""

    def __init__(self) -> None:
        self.found: list[Option] = []

    def getgroup(self, *_: object, **__: object) -> _Recorder:
        return self

    def addoption(self, name: str, *, help: str, **settings: Any) -> None:  # noqa: A002, ANN401 - argparse's
        self.found.append(Option(name, settings.get("metavar", ""), settings.get("nargs") == "?", help))

    def addini(self, *_: object, **__: object) -> None:
        """Each option's twin: the same words."""


def registered() -> list[Option]:
    """Every option, in the order of `pytest --help`."""
    recorder = _Recorder()
    options.add(recorder)  # type: ignore[arg-type] # it asks no more of a parser
    return recorder.found


def options_table() -> str:
    """One row an option."""
    rows = []
    for option in registered():
        value = f"={option.metavar}" if option.metavar else ""
        value = f"[{value}]" if option.optional else value
        rows.append([_code(option.name + value), _text(option.help)])
    return _table(["option", "meaning"], rows)


def metrics_table() -> str:
    """One row a built-in metric: its key, its title, its direction."""
    rows = [
        [_code(metric.name), metric.title, "higher" if metric.higher_is_better else "lower"]
        for metric in METRICS.values()
    ]
    return _table(["name", "title", "better"], rows)


def names_of(kind: str) -> Callable[[], str]:
    """The names of what is built in, of one kind."""
    found = {
        "models": builtin.MODELS,
        "pruners": builtin.PRUNERS,
        "data sets": builtin.DATASETS,
        "corruptions": builtin.BENCHMARK,
        "extra corruptions": builtin.EXTRA,
        "protocols": built_in_names(),
    }[kind]
    return lambda: ", ".join(map(_code, found))


def schema_tables() -> str:
    """The report's schema as a table an object."""
    schema = json.loads(schema_text())
    parts = {"the report": schema} | schema["$defs"]
    return "\n\n".join(_object(name, part) for name, part in parts.items() if "properties" in part)


def schema_text() -> str:
    """The schema as it ships."""
    return (resources.files("pytest_prunecal") / "report.schema.json").read_text(encoding="utf-8")


def _object(name: str, part: dict[str, Any]) -> str:
    fields = _table(["field", "type", "meaning"], _fields(part["properties"]))
    return f"### {_title(name)}\n\n{part['description']}\n\n{fields}"


def _fields(properties: dict[str, Any], above: str = "") -> Iterator[list[str]]:
    for name, part in properties.items():
        yield [_code(above + name), _type(part), _text(part["description"])]
        yield from _fields(part.get("properties", {}), f"{above}{name}.")


def _type(part: dict[str, Any]) -> str:
    """A field's type in words; what has a table of its own is linked."""
    kind = part.get("type")
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        words = name.replace("_", " ")
        found = f"[{words}](#{words.replace(' ', '-')})"
    elif "oneOf" in part:
        found = " or ".join(map(_type, part["oneOf"]))
    elif "enum" in part or "const" in part:
        found = ", ".join(_code(json.dumps(value)) for value in part.get("enum", [part.get("const")]))
    elif kind == "array":
        found = f"list of {_type(part['items'])}"
    elif kind == "object" and "additionalProperties" in part:
        found = f"name to {_type(part['additionalProperties'])}"
    else:
        found = kind if isinstance(kind, str) else " or ".join(kind)
    return found


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`"


def _text(text: str) -> str:
    return text.replace("|", "\\|")


PARTS: dict[str, Callable[[], str]] = {
    "options": options_table,
    "metrics": metrics_table,
    "report": schema_tables,
    **{kind: names_of(kind) for kind in ("models", "pruners", "data sets", "protocols")},
    **{kind: names_of(kind) for kind in ("corruptions", "extra corruptions")},
}


def fill(markdown: str) -> str:
    """Put what is generated in the place of its marks; raises KeyError for a mark that nothing makes."""
    return _MARK.sub(lambda mark: PARTS[mark[1]](), markdown)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by mkdocs for each page."""
    return _FILE.sub(r'\2 title="\1"', fill(markdown))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by mkdocs once: the schema is published as the file that ships."""
    from mkdocs.structure.files import File  # noqa: PLC0415 - tests read this module without mkdocs

    files.append(File.generated(config, SCHEMA, content=schema_text()))
    return files
