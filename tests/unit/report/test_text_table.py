"""Tables as plain text."""

import hypothesis
from hypothesis import strategies as st

from pytest_prunecal.report.text_table import table

texts = st.text(st.characters(categories=["L", "N", "P", "S"], max_codepoint=0x24F), max_size=9)
cells = texts | st.sampled_from(["", "0.1", "-12", "=", "+0.5"])


@hypothesis.given(
    st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1))
)
def test_tables_are_aligned(rows):
    lines = table(rows[0], rows[1:])
    assert len(lines) == len(rows)
    assert all(line == line.rstrip() for line in lines)
    width = max(map(len, lines))
    starts = [0]
    for column in list(zip(*rows, strict=True))[:-1]:
        starts.append(starts[-1] + max(map(len, column)) + 2)
    for row, line in zip(rows, lines, strict=True):
        for start, end, text in zip(starts, [*starts[1:], width + 2], row, strict=True):
            assert line.ljust(width)[start : end - 2].strip() == text
            assert line.ljust(width + 2)[end - 2 : end].strip() == ""


def test_numbers_stand_to_the_right_and_texts_to_the_left():
    assert table(
        ["cell", "n", "why"], [["dense", "1.5", "ok"], ["x", "-12", "regression"], ["12", "=", ""]]
    ) == [
        "cell     n  why",
        "dense  1.5  ok",
        "x      -12  regression",
        "12       =",
    ]
    assert table(["cell", "n"], [["1", "1"], ["12", "12"]]) == ["cell   n", "1      1", "12    12"]
    assert table(["metric", "n"], []) == ["metric  n"]
