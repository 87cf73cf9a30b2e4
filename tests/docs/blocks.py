"""The marked blocks of README, CONTRIBUTING and docs, and what it takes to run a page of them.

A comment right above a fence says what the block is:

    <!-- file: NAME -->     the content of a file
    <!-- run -->            commands that succeed; `<!-- run: exit 1 -->` commands that end so
    <!-- output -->         what the commands above print; `…` stands for any lines, and for any end of a line
    <!-- command: NAME -->  a command that `.ci/run` runs by this name

and a comment by itself, `<!-- on: PAGE -->`, that a page goes on from the files of another.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
_MARK = re.compile(r"<!-- (file|run|output|command|on)(?:: (.+))? -->")
_ANY_MARK = re.compile(r" *<!-- ([a-z]+)(?::.*)? -->")
_FENCE = re.compile(r"```\w+(?: .*)?")
_OTHERS = ("generated", "fmt")


@dataclass(frozen=True)
class Block:
    """A marked block: its kind, what the mark says besides, its text, and the line of the mark."""

    kind: str
    argument: str
    text: str
    line: int


def blocks_of(text: str) -> list[Block]:
    """Read a page's marked blocks in their order; raises ValueError for a mark that marks nothing."""
    lines = text.splitlines()
    found: list[Block] = []
    for number, line in enumerate(lines):
        mark = _MARK.fullmatch(line)
        if mark is None:
            other = _ANY_MARK.fullmatch(line)
            if other and other[1] not in _OTHERS:
                raise ValueError(f"line {number + 1}: no such mark: {line}")
            continue
        kind, argument = mark[1], mark[2] or ""
        if kind == "on":
            found.append(Block(kind, argument, "", number + 1))
            continue
        if number + 1 == len(lines) or not _FENCE.fullmatch(lines[number + 1]):
            raise ValueError(f"line {number + 1}: a mark without a block below it: {line}")
        end = lines.index("```", number + 1)
        if kind == "output" and (not found or found[-1].kind != "run"):
            raise ValueError(f"line {number + 1}: output of nothing that is run")
        found.append(Block(kind, argument, "\n".join(lines[number + 2 : end]) + "\n", number + 1))
    return found


def run(page: Path, folder: Path, home: Path) -> list[Block]:
    """Build and run a page in an empty folder, as a reader would; gives the blocks that were used.

    Raises:
        AssertionError: a command ends otherwise, or prints something else, than the page says.
    """
    used: list[Block] = []
    printed = ""
    for block in blocks_of(page.read_text(encoding="utf-8")):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if block.kind == "on":
            for other in blocks_of((page.parent / block.argument).resolve().read_text(encoding="utf-8")):
                if other.kind == "file":
                    _write(folder, other)
        elif block.kind == "file":
            _write(folder, block)
        elif block.kind == "run":
            wanted = int(block.argument.removeprefix("exit ") or 0)
            done = _shell(block.text, folder, home)
            printed = done.stdout
            assert done.returncode == wanted, f"{where}: exit {done.returncode}, not {wanted}\n{printed}"
        elif block.kind == "output":
            missing = _missing(block.text, printed)
            assert missing is None, f"{where}: not printed: {missing}\n\nbut:\n{printed}"
        else:
            continue
        used.append(block)
    return used


def _write(folder: Path, block: Block) -> None:
    path = folder / block.argument
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, encoding="utf-8")


def _shell(commands: str, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    person = {
        f"GIT_{who}_{what}": "someone@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "GITHUB_"))
    }
    environment |= person | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTEST_ADDOPTS": "-p no:hypothesispytest -p no:benchmark",  # slow to import
        "HOME": str(home),
        "COLUMNS": "120",
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],  # noqa: S607 - wherever bash is
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _missing(wanted: str, printed: str) -> str | None:
    """The first line that is not printed in its place: numbers may be others, as on another processor."""
    lines = iter(map(_shape, printed.splitlines()))
    for line in wanted.splitlines():
        if line.strip() in ("", "…"):
            continue
        shape = _shape(line)
        if not any(_same(shape, other) for other in lines):
            return line
    return None


def _same(shape: str, line: str) -> bool:
    return line.startswith(shape.rstrip("… ")) if shape.endswith("…") else line == shape


def _shape(line: str) -> str:
    """A line less its numbers, its spaces and the length of its rules."""
    line = re.sub(r"([=_-])\1{3,}", r"\1\1\1", line)
    line = re.sub(r"(?<![\w.=-])[±+-]?\d[\d.]*(s|\b)|(?<= )=(?= |$)", "#", line)
    return " ".join(line.split())
