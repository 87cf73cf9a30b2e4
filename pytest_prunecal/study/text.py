r"""Texts of others, fit to be read: what files, users' code and errors say to terminals and CI logs.

A text may hold what a terminal or a log obeys instead of showing: control characters, marks that turn the
direction of reading, characters that nobody sees, workflow commands. Each is written as its escape, as in
Python's `repr`; everything else stays as it is.

    >>> visible("red \x1b[31m")
    'red \\x1b[31m'
    >>> line("::error::all is well\nnot")
    '\\x3a:error::all is well\\nnot'
"""

from __future__ import annotations

import re
import unicodedata

LONGEST_QUOTE = 80
"""Characters of a file's text that an error quotes."""

LONGEST_TEXT = 400
"""Characters of a note, a reason or a warning that a terminal shows."""

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks that no font draws, whatever their category says.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\U000e0100-\U000e01ef]")
# What GitHub's and Azure's runners obey: the first at the start of a line, the others anywhere in it.
_COMMAND = re.compile(r"^(\s*):(?=:)")
_OLD_COMMAND = re.compile(r"#(?=#(?:vso|teamcity)?\[)")


def visible(text: str) -> str:
    """One line, with each character that people cannot see as its escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) if _unseen(character) else character for character in text)


def block(text: str) -> str:
    """Several lines as `visible` has each; tabs stay."""
    found = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(visible, one.split("\t"))) for one in found)


def line(text: str, longest: int | None = None) -> str:
    """One line of a terminal or a log that is shown and not obeyed; `longest` characters at most."""
    shown = visible(text)
    if longest is not None and len(shown) > longest:
        shown = f"{shown[: longest - 1]}…"
    return _no_command(shown)


def lines(text: str) -> str:
    """Several lines of a terminal or a log, as `block` has them, none a command."""
    return "\n".join(map(_no_command, block(text).split("\n")))


def flowing(text: str, longest: int = LONGEST_TEXT) -> str:
    """What a person wrote over several lines, as one."""
    return line(" ".join(text.split()), longest)


def quoted(text: str) -> str:
    """A text as an error quotes it: in quotation marks, and its beginning only where it is long."""
    return repr(text) if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]!r}…"


def _no_command(text: str) -> str:
    return _COMMAND.sub(r"\1\\x3a", _OLD_COMMAND.sub(r"\\x23", text))


def _unseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN or bool(_BLANK.match(character))


def _escaped(character: str) -> str:
    named = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(character)
    if named:
        return named
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
