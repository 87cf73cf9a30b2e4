"""Tables in Markdown, for the scripts beside this one."""

from __future__ import annotations


def markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a table, of cells without any pipe."""
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]
