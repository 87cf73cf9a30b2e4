"""The parts of the reference that are made from the plugin when the site is built."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "docs"))  # a hook of mkdocs, no package

import generated

PAGES = sorted((Path(__file__).parents[2] / "docs").rglob("*.md"))


def test_every_option_of_pytest_has_a_row(pytester):
    told = {option.name for option in generated.registered()}
    listed = set(re.findall(r"--prunecal-\w+(?=[\s=])", pytester.runpytest("--help").stdout.str()))
    assert told == listed
    table = generated.options_table()
    assert table.count("\n") == len(told) + 1
    assert "| `--prunecal-update[=all|missing|failing]` | accept the measured numbers" in table
    assert "| `--prunecal-fresh` | measure every cell again" in table


def test_every_part_is_shown_on_a_page():
    marks = [mark for page in PAGES for mark in re.findall(r"<!-- generated: (.+) -->", page.read_text())]
    assert sorted(marks) == sorted(generated.PARTS)


@pytest.mark.parametrize("part", generated.PARTS)
def test_a_part_takes_the_place_of_its_mark(part):
    page = generated.fill(f"before\n\n<!-- generated: {part} -->\n\nafter\n")
    assert "generated" not in page
    assert len(page) > len("before\n\n\n\nafter\n")


def test_a_mark_that_nothing_makes_is_an_error():
    with pytest.raises(KeyError, match="nothing"):
        generated.fill("<!-- generated: nothing -->\n")


def test_the_schema_is_told_field_by_field():
    told = generated.schema_tables()
    schema = json.loads(generated.schema_text())
    for part in (schema, *schema["$defs"].values()):
        for name, field in part["properties"].items():
            assert f"{name}` | " in told
            assert field["description"].replace("|", "\\|") in told
    links = set(re.findall(r"\(#([\w-]+)\)", told))
    titles = {title.lower().replace(" ", "-") for title in re.findall(r"^### (.+)$", told, re.MULTILINE)}
    assert links <= titles


def test_a_file_gets_its_name_as_a_title():
    page = generated.on_page_markdown("<!-- file: deep/nets.py -->\n```python\nx = 1\n```\n")
    assert page == '```python title="deep/nets.py"\nx = 1\n```\n'
