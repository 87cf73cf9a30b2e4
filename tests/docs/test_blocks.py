"""What README and docs show as runnable runs, and prints what they say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # importlib import mode: `blocks` stands beside this file

from blocks import PAGES, ROOT, blocks_of, run

RUN = [
    page
    for page in PAGES
    if any(block.kind == "run" for block in blocks_of(page.read_text(encoding="utf-8")))
]


def marks(page):
    """The door and the first tutorial are run by the README's test command, the others in CI."""
    first = ROOT / "docs" / "tutorial" / "index.md"
    return [] if page.parent == ROOT or page == first else [pytest.mark.slow]


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=marks(page), id=page.relative_to(ROOT).as_posix()) for page in RUN]
)
def test_a_page_runs_as_it_stands(page, tmp_path):
    folder, home = tmp_path / "project", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    used = run(page, folder, home)
    marked = [block for block in blocks_of(page.read_text(encoding="utf-8")) if block.kind != "command"]
    assert used == marked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_mark_marks_something_that_is_run(page):
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    kinds = {block.kind for block in blocks}
    assert page in RUN or not kinds - {"command"}
    if page != ROOT / "README.md":
        assert "command" not in kinds  # `.ci/run` reads the README


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- run -->\n\n```sh\ntrue\n```\n", "line 1: a mark without a block"),
        ("<!-- runs -->\n```sh\ntrue\n```\n", "line 1: no such mark"),
        ("  <!-- run -->\n  ```sh\n  true\n  ```\n", "line 1: no such mark"),
        ("<!-- output -->\n```text\nyes\n```\n", "line 1: output of nothing"),
    ],
)
def test_a_mark_that_would_not_be_run_is_an_error(text, message):
    with pytest.raises(ValueError, match=message):
        blocks_of(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- run -->\n```sh\nfalse\n```\n", "exit 1, not 0"),
        ("<!-- run: exit 1 -->\n```sh\ntrue\n```\n", "exit 0, not 1"),
        (
            "<!-- run -->\n```sh\necho yes 1\n```\n\n<!-- output -->\n```text\nno 2\n```\n",
            "not printed: no 2",
        ),
    ],
)
def test_a_page_that_does_not_hold_is_an_error(text, message, tmp_path, monkeypatch):
    monkeypatch.setattr("blocks.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match=message):
        run(page, tmp_path, tmp_path)


def test_numbers_may_be_others_and_lines_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("blocks.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- file: out.txt -->\n```text\n====== 3 passed in 4.1s ======\n"
        "ece  0.1 ±0.01  =  ok\nmore\nlast one\n```\n"
        "<!-- run -->\n```sh\ncat out.txt\n```\n\n"
        "<!-- output -->\n```text\n=== 5 passed in 12.00s ===\nece    0.2 ±0.2 -0.01 ok\n…\nlast …\n```\n"
    )
    assert len(run(page, tmp_path, tmp_path)) == 3
