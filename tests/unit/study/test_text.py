"""Texts of others reach terminals and logs as what they are: nothing in them is obeyed or unseen."""

import re
import unicodedata

import hypothesis
import pytest
from hypothesis import strategies as st

from pytest_prunecal.study.text import LONGEST_QUOTE, block, flowing, line, lines, quoted, visible

ANY = st.text(st.characters(exclude_categories=()), max_size=40) | st.lists(
    st.sampled_from(
        [
            "::",
            "error",
            "##[",
            "##vso[",
            "\n",
            "\r",
            "\t",
            " ",
            "\x1b[2J",
            "\u202e",
            "\u200d",
            "\x85",
            "é",
            ":",
        ]
    )
).map("".join)
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def is_harmless(text):
    """No character that cannot be seen, and no line that a runner obeys."""
    assert not {unicodedata.category(character) for character in text} & UNSEEN, text
    assert not text.lstrip().startswith("::"), text
    assert not re.search(r"##(vso|teamcity)?\[", text), text


@hypothesis.given(ANY)
def test_a_line_is_one_line_that_nothing_obeys(text):
    shown = line(text)
    is_harmless(shown)
    assert len(shown.splitlines()) <= 1
    assert line(shown) == shown
    shown.encode()


@hypothesis.given(ANY)
def test_lines_keep_their_ends_and_tabs_and_nothing_else(text):
    shown = lines(text)
    assert shown.count("\n") == text.count("\n")
    assert shown.count("\t") == text.count("\t")
    for one in shown.split("\n"):
        is_harmless(one.replace("\t", " "))
    assert lines(shown) == shown


@hypothesis.given(ANY, st.integers(2, 60))
def test_long_texts_are_cut(text, longest):
    shown = line(text, longest)
    # The escape of a colon or a hash is three longer than what it stands for.
    assert len(re.sub(r"\\x(3a|23)", ":", shown)) <= longest
    assert shown == line(text) or "…" in shown


@pytest.mark.parametrize(
    "text", ["é", "中文", "हिन्दी", "🙂", "❤️", "a\u00a0b", "a\u3000b", "x: y :: z", "#12 ##", "±0.5 ✗"]
)
def test_what_can_be_read_stays(text):
    assert visible(text) == line(text) == lines(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m\x07", r"\x1b[31m\x07"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x7f\x85\x9b", r"\x7f\x85\x9b"),
        ("\u202eabc\u2066\u200f", r"\u202eabc\u2066\u200f"),
        ("a\u200b\u200db\ufeff", r"a\u200b\u200db\ufeff"),
        ("\u2028\ud800", r"\u2028\ud800"),
        ("\u3164\U000e0041\U000e0101", r"\u3164\U000e0041\U000e0101"),
        ("::error::x", r"\x3a:error::x"),
        ("  \t::error::x", r"  \t::error::x"),
        ("  ::stop-commands::x", r"  \x3a:stop-commands::x"),
        ("a ##[error]b ##vso[task.x]", r"a \x23#[error]b \x23#vso[task.x]"),
    ],
)
def test_what_cannot_is_its_escape(text, shown):
    assert line(text) == shown


def test_blocks_flow_and_quotes():
    assert block("::a\r\n\tb\x1b") == "::a\n\tb\\x1b"
    assert flowing("a\n\n  b\x1b\n") == "a b\\x1b"
    assert len(flowing("x" * 10_000)) == 400
    assert quoted("a\n") == r"'a\n'"
    assert quoted("x" * 10_000) == f"'{'x' * LONGEST_QUOTE}'…"
