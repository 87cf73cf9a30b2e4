"""Files that pages show as a whole: their lines are as mkdocs reads them, which formatters of code break."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LIKE = re.compile(r"^.*-+ *8 *< *-+.*$", re.MULTILINE)
_INCLUDE = re.compile(r'--8<-- "([^":]+)(?::[\w-]+)?"')
_SECTION = re.compile(r"<!-- --8<-- \[(start|end):[\w-]+\] -->")


def test_what_pages_include_is_there():
    found = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for line in _LIKE.findall(page.read_text(encoding="utf-8")):
            if _SECTION.fullmatch(line):
                continue
            include = _INCLUDE.fullmatch(line)
            assert include, f"{page}: {line}"
            assert (ROOT / include[1]).is_file(), f"{page}: {line}"
            found.append(include[1])
    assert "pytest_prunecal/lab/pruners/gradual.py" in found
