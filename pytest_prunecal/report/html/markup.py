"""HTML and SVG by construction: what is not markup already is escaped, so that nothing needs remembering."""

from __future__ import annotations

import html

from pytest_prunecal.report.wording import clean

_EMPTY = frozenset({"meta", "br", "circle", "line", "path", "polygon", "polyline", "rect"})
_INLINE = frozenset({"a", "abbr", "b", "code", "span", "td", "th", "text", "g"})


class Markup(str):
    """Text that is markup: written as it is."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """One element.

    Args:
        name: of the element.
        children: what it contains; plain text is escaped, `Markup` is not.
        attributes: always escaped; None leaves one out, True writes it without a value. Underscores become
            hyphens, and a last one is dropped (`class_`).
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{"" if value is True else escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    end = "" if name in _INLINE else "\n"  # a source that can be read and compared
    if name in _EMPTY:
        return Markup(f"<{name}{written} />{end}")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>{end}")


def join(*children: str) -> Markup:
    """Several pieces in a row; plain text is escaped."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children))


def escape(text: str) -> Markup:
    """Text as markup."""
    return Markup(html.escape(clean(text)))
