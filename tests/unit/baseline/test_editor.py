"""Splicing numbers into layouts of every kind: edited, or refused and left as they are."""

import re

import pytest
import yaml

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.baseline.refresh import Change
from pytest_prunecal.study.protocol_file import BUILT_IN, load

QUICK = load("quick", BUILT_IN)
HERE = {"torch": "2.11.0", "device": "cpu", "threads": "1", "corruptions": "generated"}
ELSEWHERE = HERE | {"torch": "2.12.0", "device": "NVIDIA H100 80GB HBM3"}


@pytest.mark.parametrize(
    "start", ["cells:\n", "cells: {}\n", "cells: {}  # c\n", "cells: ~\n", "cells:\n  {}\n", "cells:"]
)
@pytest.mark.parametrize("tail", ["", "# the end\n", "model: vgg19\n"])
def test_a_file_without_cells(refreshed, comments, start, tail):
    start += "" if start.endswith("\n") or not tail else "\n"
    head = f"prunecal: 1\nprotocol: {{name: quick, fingerprint: {QUICK.fingerprint}}}\n"
    text = head + ("" if "model" in tail else "model: vgg19\n") + start + tail
    new = refreshed(text, {"weight-0.3": {"ece": 0.5}, "dense": {"ece": 0.25}})
    cells = baseline.parse(new, "f.yaml").cells
    assert [(key, cell.metrics) for key, cell in cells.items()] == [
        ("dense", {"ece": 0.25}),
        ("weight-0.3", {"ece": 0.5}),
    ]
    assert comments(new) == comments(text)


@pytest.mark.parametrize("name", ["2:4", "on", "null", "yes", "no"])
def test_a_name_that_yaml_would_read_as_something_else_is_quoted(plain, refreshed, name):
    # YAML 1.1 reads a bare 2:4 as the number 124, to the base 60.
    new = refreshed(plain, {name: {"ece": 0.5}})
    assert f"  '{name}':\n    ece: 0.5000\n" in new
    assert [*yaml.safe_load(new)["cells"]] == ["dense", "channel-0.7", name]
    assert baseline.parse(new, "f.yaml").cells[name].metrics == {"ece": 0.5}
    assert refreshed(new, {name: {"ece": 0.5}}) is new


def test_a_bare_name_of_a_persons_stays_bare(plain, refreshed, replaced):
    text = replaced(plain, ("  channel-0.7:\n", "  2:4:\n    ece: 0.25\n  channel-0.7:\n"))
    assert refreshed(text, {"2:4": {"ece": 0.5}}) == text.replace("ece: 0.25\n", "ece: 0.5000\n")
    assert refreshed(text, {}, removed=["2:4"]) == plain


@pytest.mark.parametrize(
    "cell", ["{ece: 0.25, note: hm}", "{ece: 0.25,\n    note: hm\n  }", "{note: 'hm', ece: 1}"]
)
def test_a_flow_cell_becomes_lines(plain, refreshed, replaced, cell):
    text = replaced(plain, ("  dense:\n    accuracy: 0.9688\n", f"  weight-0.3: {cell}  # c\n  dense:\n"))
    new = refreshed(text, {"weight-0.3": {"ece": 0.5, "accuracy": 0.75}})
    source = re.search("note: ('?hm'?)", cell).group()
    assert new == text.replace(
        f"  weight-0.3: {cell}  # c\n",
        f"  weight-0.3:  # c\n    {source}\n    accuracy: 0.7500\n    ece: 0.5000\n",
    )
    assert refreshed(text, {"weight-0.3": {"ece": float(re.search(r"ece: ([\d.]+)", cell)[1])}}) is text


@pytest.mark.parametrize("nothing", ["", " ~", " {}", " null"])
@pytest.mark.parametrize("comment", ["", "   # to be measured", "\n    # to be measured"])
def test_an_empty_cell_is_filled(plain, refreshed, replaced, nothing, comment):
    text = replaced(plain, ("  dense:\n", f"  weight-0.3:{nothing}{comment}\n  dense:\n"))
    new = refreshed(text, {"weight-0.3": {"ece": 0.5}})
    lines = "    ece: 0.5000"
    expected = f"{lines}{comment}" if "\n" in comment else f"{comment}\n{lines}".lstrip("\n")
    head = "  weight-0.3:" + ("" if comment.startswith(" ") else "\n")
    assert new == replaced(plain, ("  dense:\n", f"{head}{expected}\n  dense:\n"))


@pytest.mark.parametrize("style", ["|", "|-", "|+", ">", ">-", "|2"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n\n  # a comment\n", "\n# a comment"])
def test_block_notes_at_the_end_of_a_file(plain, refreshed, comments, style, end):
    # Whatever follows a block text must not become part of it.
    text = (
        plain.removesuffix("# the end\n")
        + f"  weight-0.3:\n    ece: 0.1\n    note: {style}\n      # no\n\n      b: 1{end}"
    )
    text = text.replace("|2\n      # no", "|2\n        # no").replace("channel-0.7", "filter-0.7")
    before = baseline.parse(text, "f.yaml")
    new = refreshed(
        text, {"weight-0.3": {"accuracy": 0.5, "ece": 0.2, "nll": 1.0}, "channel-0.9": {"ece": 0.3}}
    )
    after = baseline.parse(new, "f.yaml")
    assert after.cells["weight-0.3"].note.rstrip("\n") == before.cells["weight-0.3"].note.rstrip("\n")
    assert after.cells["weight-0.3"].metrics == {"accuracy": 0.5, "ece": 0.2, "nll": 1.0}
    assert after.cells["channel-0.9"].metrics == {"ece": 0.3}
    assert comments(new) == comments(text)


UNUSUAL = {
    "a comment inside a flow cell": ("  dense:\n", "  weight-0.3: {ece: 0.2, # c\n    nll: 1}\n  dense:\n"),
    "a comment inside an own environment": (
        "    note:",
        "    environment: {torch: 2.9.0, # c\n      device: cpu}\n    note:",
    ),
    "a fingerprint as block text": (
        f"protocol: {{name: quick, fingerprint: {QUICK.fingerprint}}}\n",
        "protocol:\n  name: quick\n  fingerprint: | # c\n    abc\n",
    ),
}
ALL_NEW = {
    "dense": {"accuracy": 0.5, "ece": 0.25},
    "channel-0.7": {"accuracy": 0.5, "ece": 0.25},
    "weight-0.3": {"ece": 0.5},
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_layouts_that_would_lose_a_comment_are_refused(plain, replaced, refuses, name):
    text = replaced(plain, UNUSUAL[name])
    kept = {key: value for key, value in ALL_NEW.items() if "own" not in name or key != "dense"}
    refuses("too unusual", text, kept, environment=ELSEWHERE)


@pytest.mark.parametrize(
    "cells",
    [
        "cells: {dense: {ece: 0.1}, weight-0.3: {ece: 0.2}}\n",
        "cells: {\n  dense: {ece: 0.1}, # c\n  weight-0.3: {ece: 0.2},\n}\n",
        "cells:\n  ? dense\n  : ece: 0.1\n    nll: 0.5\n  ? weight-0.3\n  : ece: 0.2\n",
        "cells:\n  dense:\n    ? ece\n    : 0.1\n  weight-0.3:\n    ece: 0.2\n",
        "cells:\n  dense:\n    ece: 0.1\r    nll: 0.2\r  weight-0.3: {ece: 0.2}\n",
        "cells:\n  dense: {\n    ece: 0.1}\n  weight-0.3: {ece: 0.2, 'note': 'x\n\n    y'}\n",
        "cells:\n  'dense': {'ece': 0.1}\n  \"weight-0.3\":\n    \"ece\": 0.2  # c\n",
        "cells:\n  dense: {ece: 0.1, note: 'a # no comment'}\n  weight-0.3: {ece: 0.2}\n",
        "cells:\n  dense:\n    note: 'a\u2028    # b'\n    ece: 0.1\n  weight-0.3: {ece: 0.2}\n",
        "cells:\n  dense:\n    # c\u2028    ece: 0.1\n    nll: 0.1\n  weight-0.3: {ece: 0.2}\n",
        "cells:\n  dense:\n    ece: 0.1 # c\x85    nll: 0.1\n  weight-0.3: {ece: 0.2}\n",
        "cells:\n   dense :\n     ece   :   0.1\n     nll:\n      # c\n      0.5\n   weight-0.3 : {ece: 1}\n",
        "cells:\n  dense:\t{ece: 0.1}\t# c\n  weight-0.3:\n    ece:\t0.2\t# c\n",
        "cells:\n  dense:\n    tolerance: {ece: {abs: 1}}\n  weight-0.3:\n    ece: 0.1\n...\n# after\n",
    ],
)
@pytest.mark.parametrize(
    ("new", "removed"),
    [
        ({"dense": {"ece": 0.5}}, ()),
        ({"dense": {"ece": 0.5, "nll": 0.1}, "weight-0.3": {"ece": 0.5, "accuracy": 1.0}}, ()),
        ({"weight-0.1": {"ece": 0.5}, "channel-0.7": {"ece": 0.5}}, ()),
        ({"dense": {"ece": 0.1}}, ("weight-0.3",)),
        ({"weight-0.3": {"nll": 0.2}}, ("dense",)),
        ({}, ("dense", "weight-0.3")),
    ],
)
def test_odd_layouts_are_refreshed_or_refused(plain, hold, cells, new, removed):
    text = plain[: plain.index("tolerance:\n")] + cells
    hold(text, Change("vgg19", HERE, new, removed))


@pytest.mark.parametrize("end", ["\r", "\x85", "\u2028", "\u2029"])
def test_line_ends_that_editors_do_not_show_are_refused(plain, refreshed, replaced, refuses, end):
    # To YAML the comment ends there; to the splicer it would be the beginning of the metric's line.
    text = replaced(plain, ("  # the reference\n  dense:\n", f"  dense:\n    # kept{end}    nll: 0.5\n"))
    assert refreshed(text, {"dense": {"accuracy": 0.9688, "ece": 0.0096, "nll": 0.5}}) is text
    refuses("too unusual", text, {"dense": {"accuracy": 0.9688, "ece": 0.0096}})
