"""README and CONTRIBUTING: what they point at is there, and the door stays small. mkdocs checks the site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = {"README.md": 170, "CONTRIBUTING.md": 130}


@pytest.mark.parametrize("name", LINES)
def test_links_lead_somewhere(name):
    links = re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text(encoding="utf-8"))
    local = [link.partition("#")[0] for link in links if "://" not in link]
    assert local
    assert [link for link in local if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", LINES)
def test_the_door_is_small(name):
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= LINES[name]


def test_ci_finds_the_commands_of_the_readme():
    found = re.findall(
        r"^<!-- command: (\w+) -->\n```sh\n(.+)\n```$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert [name for name, _ in found] == ["gate", "tests"]
    assert all(command.startswith("python3 -m venv .venv && .venv/bin/pip install") for _, command in found)


def test_pages_include_what_is_there():
    # A formatter once wrote `--8 < --` in a block of Python: the page showed that, and no code.
    marks = {
        f"{page.relative_to(ROOT)}: {mark}": Path(
            ROOT, mark.partition('"')[2].rpartition('"')[0].partition(":")[0]
        )
        for page in sorted((ROOT / "docs").rglob("*.md"))
        for mark in re.findall(r'^\s*-+ *8 *< *-+ *".*"$', page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert marks
    assert [where for where, path in marks.items() if '--8<-- "' not in where or not path.is_file()] == []
