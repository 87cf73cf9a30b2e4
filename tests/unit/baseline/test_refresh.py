"""Refreshing a baseline file: what was meant is written, and every other line stays to the byte."""

import dataclasses
import re
from collections import Counter

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.baseline.refresh import Change, apply
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.metric import METRICS, Metric, known, recorded
from pytest_prunecal.study.protocol import Protocol
from pytest_prunecal.study.protocol_file import BUILT_IN, load

QUICK = load("quick", BUILT_IN)
OTHER_FINGERPRINT = "0badcafe"
HERE = {"torch": "2.11.0", "device": "cpu", "threads": "1", "corruptions": "generated"}
ELSEWHERE = HERE | {"torch": "2.12.0", "device": "NVIDIA H100 80GB HBM3"}
IDS = [
    "dense",
    "weight-0.1",
    "weight-0.3",
    "filter-0.3",
    "filter-0.55",
    "channel-1e-05",
    "channel-0.7",
    "mine-0.5",
]
NAMES = [*METRICS, "zeta", "on"]

PLAIN = f"""\
# Accepted numbers of vgg19 under quick.
prunecal: 1
model: vgg19
protocol: {{name: quick, fingerprint: {QUICK.fingerprint}}}
environment: {{torch: 2.11.0, device: cpu, threads: 1, corruptions: generated}}   # the CI machine
tolerance:
  mpc: {{abs: 0.02}}  # wide
cells:
  # the reference
  dense:
    accuracy: 0.9688
    ece: 0.0096   # good
  channel-0.7:
    note: loses most of conv12   # kept by every refresh
    tolerance: {{ece: {{rel: 0.5}}}}
    accuracy: 0.9512
    ece: 0.0203
# the end
"""


def refreshed(text, cells, removed=(), environment=HERE, metrics=METRICS, under=QUICK):
    return apply(text, Change("vgg19", dict(environment), cells, tuple(removed)), under, metrics, "f.yaml")


def replaced(text, *pairs):
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def refuses(says, *args, **kwargs):
    with pytest.raises(PrunecalError, match=says) as error:
        refreshed(*args, **kwargs)
    assert str(error.value).startswith("f.yaml: ")
    assert len(str(error.value).splitlines()) == 1


# --- by example ---------------------------------------------------------------------------------------------


def test_a_new_file():
    text = refreshed(
        None,
        {
            "channel-0.7": {"ece": 0.02031, "accuracy": 0.95124, "parameters": 12},
            "dense": {"ece": 0.1, "accuracy": 1.0, "zeta": -0.00001},
            "weight-0.3": {"accuracy": 0.9},
        },
    )
    assert text == (
        "# Accepted numbers of vgg19 under quick. Refresh with --prunecal-update; review like code.\n"
        "prunecal: 1\n"
        "model: vgg19\n"
        f"protocol: {{name: quick, fingerprint: {QUICK.fingerprint}}}\n"
        "environment: {torch: 2.11.0, device: cpu, threads: 1, corruptions: generated}\n"
        "cells:\n"
        "  dense:\n    accuracy: 1.0000\n    ece: 0.1000\n    zeta: 0.0000\n"
        "  weight-0.3:\n    accuracy: 0.9000\n"
        "  channel-0.7:\n    accuracy: 0.9512\n    ece: 0.0203\n    parameters: 12\n"
    )


def test_only_changed_numbers_change():
    new = refreshed(PLAIN, {"dense": {"accuracy": 0.96881, "ece": 0.0123}})
    assert new == replaced(PLAIN, ("ece: 0.0096 ", "ece: 0.0123 "))


def test_equal_numbers_return_the_very_text():
    text = replaced(PLAIN, ("accuracy: 0.9688", "accuracy: .96880"))
    assert refreshed(text, {"dense": {"accuracy": 0.96884, "ece": 0.00961}}) is text


def test_new_metrics_and_cells_come_in_canonical_order():
    new = refreshed(
        PLAIN,
        {
            "dense": {"nll": 0.5, "accuracy": 0.9688, "ece": 0.0096, "mine": 0.25, "macs": 7},
            "filter-0.5": {"ece": 0.2, "accuracy": 0.5},
            "channel-0.9": {"ece": 0.3},
            "weight-0.1": {"ece": 0.4},
        },
        metrics=known([Metric("mine", higher_is_better=True)]),
    )
    assert new == replaced(
        PLAIN,
        (
            "    ece: 0.0096   # good\n",
            (
                "    ece: 0.0096   # good\n    nll: 0.5000\n    macs: 7\n    mine: 0.2500\n"
                "  weight-0.1:\n    ece: 0.4000\n"
                "  filter-0.5:\n    accuracy: 0.5000\n    ece: 0.2000\n"
            ),
        ),
        ("    ece: 0.0203\n", "    ece: 0.0203\n  channel-0.9:\n    ece: 0.3000\n"),
    )


def test_a_metric_that_vanished_takes_its_line_along():
    new = refreshed(PLAIN, {"channel-0.7": {"ece": 0.0203}, "dense": {"accuracy": 0.9688}})
    assert new == replaced(PLAIN, ("    accuracy: 0.9512\n", ""), ("    ece: 0.0096   # good\n", ""))


def test_a_removed_cell_leaves_the_comments_around_it():
    new = refreshed(PLAIN, {"channel-0.7": {"accuracy": 0.9512, "ece": 0.0203}}, removed=["dense"])
    assert new == replaced(PLAIN, ("  dense:\n    accuracy: 0.9688\n    ece: 0.0096   # good\n", ""))
    assert refreshed(PLAIN, {}, removed=["dense", "channel-0.7"]).endswith(
        "cells:\n  # the reference\n# the end\n"
    )


def test_the_environment_stands_per_cell_only_where_it_differs():
    elsewhere = "torch: 2.12.0, device: NVIDIA H100 80GB HBM3, threads: 1, corruptions: generated"
    dense = {"accuracy": 0.9688, "ece": 0.0096}
    moved = refreshed(PLAIN, {"dense": dense}, environment=ELSEWHERE)
    assert moved == replaced(PLAIN, ("  dense:\n", f"  dense:\n    environment: {{{elsewhere}}}\n"))
    assert refreshed(moved, {"dense": dense}, environment=ELSEWHERE) is moved
    # Measured again where the others were, the cell says nothing of its own.
    assert refreshed(moved, {"dense": dense}) == PLAIN
    # Measured as a whole, the file says it once, and the comment beside it stays.
    whole = {"dense": dense, "channel-0.7": {"accuracy": 0.9512, "ece": 0.0203}}
    assert refreshed(moved, whole, environment=ELSEWHERE) == replaced(
        PLAIN,
        ("torch: 2.11.0, device: cpu, threads", "torch: 2.12.0, device: NVIDIA H100 80GB HBM3, threads"),
    )


REST = "  threads: 1\n  corruptions: generated\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            f"environment:\n  torch: 2.10.0   # pinned\n  # where\n  device: cpu\n{REST}",
            f"environment:\n  torch: 2.11.0   # pinned\n  # where\n  device: cpu\n{REST}",
        ),
        (
            "environment:\n  device: cpu   # old\n# c\n",
            f"environment:\n  device: cpu   # old\n  torch: 2.11.0\n{REST}# c\n",
        ),
        (
            "environment: {}  # c\n",
            f"environment: {{{', '.join(f'{k}: {v}' for k, v in HERE.items())}}}  # c\n",
        ),
        ("", f"environment: {{{', '.join(f'{k}: {v}' for k, v in HERE.items())}}}\n"),
    ],
)
def test_the_environment_of_a_whole_refresh(old, new):
    line = re.search(r"environment: .*\n", PLAIN).group()
    whole = {"dense": {"accuracy": 0.9688, "ece": 0.0096}, "channel-0.7": {"accuracy": 0.9512, "ece": 0.0203}}
    assert refreshed(PLAIN.replace(line, old), whole) == PLAIN.replace(line, new)


@pytest.mark.parametrize(
    "device",
    ["GeForce, the one #1", "a: b", "null", "'q'", "{x}", " padded ", "Grafikkarte Ü", "1, threads: 2"],
)
def test_devices_of_any_name(device):
    environment = HERE | {"device": device}
    text = refreshed(None, {"dense": {"ece": 0.5}}, environment=environment)
    assert yaml.safe_load(text)["environment"]["device"] == device
    for kept in (text, PLAIN):
        new = refreshed(kept, {"weight-0.3": {"ece": 0.5}}, environment=environment)
        assert baseline.parse(new, "f.yaml").environment_of("weight-0.3") == environment


def test_a_stale_file_is_refreshed_as_a_whole_or_not_at_all():
    text = PLAIN.replace(QUICK.fingerprint, OTHER_FINGERPRINT)
    refuses(r"1 of its cells \(channel-0.7\) would stay", text, {"dense": {"ece": 0.5}})
    refuses("2 of its cells .dense, channel-0.7. would stay", text, {"weight-0.3": {"ece": 0.5}})
    new = refreshed(text, {"dense": {"ece": 0.5}}, removed=["channel-0.7"])
    assert baseline.parse(new, "f.yaml").fingerprint == QUICK.fingerprint
    whole = {"dense": {"accuracy": 0.9688, "ece": 0.0096}, "channel-0.7": {"accuracy": 0.9512, "ece": 0.0203}}
    assert refreshed(text, whole) == PLAIN


@pytest.mark.parametrize("fingerprint", ["12345678", "1e234567", "00000000", "0123456e", "abcdefab"])
def test_fingerprints_that_look_like_numbers(fingerprint, monkeypatch):
    monkeypatch.setattr(Protocol, "fingerprint", fingerprint)
    text = refreshed(None, {"dense": {"ece": 0.5}})
    assert baseline.parse(text, "f.yaml").fingerprint == fingerprint
    assert yaml.safe_load(text)["protocol"]["fingerprint"] == fingerprint
    assert refreshed(text, {"dense": {"ece": 0.5}}) is text


@pytest.mark.parametrize(
    "start", ["cells:\n", "cells: {}\n", "cells: {}  # c\n", "cells: ~\n", "cells:\n  {}\n", "cells:"]
)
@pytest.mark.parametrize("tail", ["", "# the end\n", "model: vgg19\n"])
def test_a_file_without_cells(start, tail):
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


@pytest.mark.parametrize(
    "cell", ["{ece: 0.25, note: hm}", "{ece: 0.25,\n    note: hm\n  }", "{note: 'hm', ece: 1}"]
)
def test_a_flow_cell_becomes_lines(cell):
    text = replaced(PLAIN, ("  dense:\n    accuracy: 0.9688\n", f"  weight-0.3: {cell}  # c\n  dense:\n"))
    new = refreshed(text, {"weight-0.3": {"ece": 0.5, "accuracy": 0.75}})
    source = re.search("note: ('?hm'?)", cell).group()
    assert new == text.replace(
        f"  weight-0.3: {cell}  # c\n",
        f"  weight-0.3:  # c\n    {source}\n    accuracy: 0.7500\n    ece: 0.5000\n",
    )
    assert refreshed(text, {"weight-0.3": {"ece": float(re.search(r"ece: ([\d.]+)", cell)[1])}}) is text


@pytest.mark.parametrize("nothing", ["", " ~", " {}", " null"])
@pytest.mark.parametrize("comment", ["", "   # to be measured", "\n    # to be measured"])
def test_an_empty_cell_is_filled(nothing, comment):
    text = replaced(PLAIN, ("  dense:\n", f"  weight-0.3:{nothing}{comment}\n  dense:\n"))
    new = refreshed(text, {"weight-0.3": {"ece": 0.5}})
    lines = "    ece: 0.5000"
    expected = f"{lines}{comment}" if "\n" in comment else f"{comment}\n{lines}".lstrip("\n")
    head = "  weight-0.3:" + ("" if comment.startswith(" ") else "\n")
    assert new == replaced(PLAIN, ("  dense:\n", f"{head}{expected}\n  dense:\n"))


@pytest.mark.parametrize("style", ["|", "|-", "|+", ">", ">-", "|2"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n\n  # a comment\n", "\n# a comment"])
def test_block_notes_at_the_end_of_a_file(style, end):
    # Whatever follows a block text must not become part of it.
    text = (
        PLAIN.removesuffix("# the end\n")
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


# --- layouts it cannot edit ---------------------------------------------------------------------------------

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
def test_layouts_that_would_lose_a_comment_are_refused(name):
    text = replaced(PLAIN, UNUSUAL[name])
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
def test_odd_layouts_are_refreshed_or_refused(cells, new, removed):
    text = PLAIN[: PLAIN.index("tolerance:\n")] + cells
    hold(text, Change("vgg19", HERE, new, removed))


@pytest.mark.parametrize("end", ["\r", "\x85", "\u2028", "\u2029"])
def test_line_ends_that_editors_do_not_show_are_refused(end):
    # To YAML the comment ends there; to the splicer it would be the beginning of the metric's line.
    text = replaced(PLAIN, ("  # the reference\n  dense:\n", f"  dense:\n    # kept{end}    nll: 0.5\n"))
    assert refreshed(text, {"dense": {"accuracy": 0.9688, "ece": 0.0096, "nll": 0.5}}) is text
    refuses("too unusual", text, {"dense": {"accuracy": 0.9688, "ece": 0.0096}})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ece: 0.0096", "ece: &a 0.0096"),
        ("ece: 0.0096", "ece: !!float 0.0096"),
        ("  dense:\n", "  dense:\n    ece: 1\n"),
        ("ece: 0.0096", "\tece: 0.0096"),
        ("ece: 0.0096", "ece: 0.0096: 1"),
    ],
)
def test_what_is_no_baseline_is_not_refreshed(old, new):
    with pytest.raises(PrunecalError, match=r"^f.yaml:\d+: "):
        refreshed(replaced(PLAIN, (old, new)), {"dense": {"accuracy": 0.5, "ece": 0.5}})


def test_a_large_file():
    cells = {f"weight-{number / 2000:g}": {"ece": number / 2000, "macs": number} for number in range(1, 400)}
    text = refreshed(None, cells)
    assert refreshed(text, dict(reversed(cells.items()))) is text
    changed = {key: {"ece": 1.0, "macs": 1, "nll": 2.0} for key in list(cells)[::7]}
    after = baseline.parse(refreshed(text, changed), "f.yaml").cells
    assert {key: cell.metrics for key, cell in after.items()} == cells | changed
    assert list(after) == list(cells)


# --- properties ---------------------------------------------------------------------------------------------


def comments(text):
    """Every comment of a text: what stands behind a # outside of its tokens."""
    found, place = Counter(), 0
    spans = [
        (token.start_mark.index, token.end_mark.index) for token in yaml.scan(text, Loader=yaml.SafeLoader)
    ]
    for start, end in [*spans, (len(text), len(text))]:
        for line in re.split("\r\n|[\n\r\x85\u2028\u2029]", text[place:start]):
            if "#" in line:
                found[line[line.index("#") :].rstrip()] += 1
        source = text[start:end]
        header = re.match(r"[|>][-+\d]*[ \t]*(#.*)", source)  # a block text's token holds its first line too
        if header:
            found[header[1].rstrip()] += 1
        place = max(place, end)
    return found


def meant(before, change):
    """Numbers and environments by cell that a change should lead to, found without the code under test."""
    expected = {
        key: (cell.metrics, cell.environment or before.environment)
        for key, cell in before.cells.items()
        if key not in change.removed
    }
    for key, numbers in change.cells.items():
        rounded = {name: value if type(value) is int else round(value, 4) for name, value in numbers.items()}
        expected[key] = (rounded, change.environment)
    return expected


def by_people(file, left_out=()):
    def bounds(rules):
        return {name: (rule.abs, rule.rel) for name, rule in rules.items()}

    return bounds(file.tolerance), {
        key: (cell.note.rstrip("\r\n"), bounds(cell.tolerance))
        for key, cell in file.cells.items()
        if key not in left_out and (cell.note or cell.tolerance)
    }


def hold(text, change):
    """Refresh and check all that holds of any text; None if it was refused."""
    try:
        before = baseline.parse(text, "f.yaml")
        new = apply(text, change, QUICK, METRICS, "f.yaml")
    except PrunecalError as error:
        refused = str(error)
    else:
        refused = ""
    assert len(refused.splitlines()) <= 1
    if refused:
        return None
    after = baseline.parse(new, "f.yaml")
    assert {
        key: (cell.metrics, cell.environment or after.environment) for key, cell in after.cells.items()
    } == meant(before, change)
    assert by_people(after) == by_people(before, change.removed)
    assert (after.model, after.protocol, after.fingerprint) == (
        before.model,
        before.protocol,
        QUICK.fingerprint,
    )
    loaded = yaml.load(new, Loader=yaml.BaseLoader)["cells"]  # noqa: S506 - it makes nothing but texts
    for key, numbers in change.cells.items():
        for name, value in numbers.items():
            assert float(loaded[key][name]) == float(recorded(value))
    assert apply(new, change, QUICK, METRICS, "f.yaml") is new
    dropped = change.removed or any(
        set(before.cells[key].metrics) - set(numbers) or before.cells[key].environment
        for key, numbers in change.cells.items()
        if key in before.cells
    )
    if not dropped:
        assert comments(new) == comments(text)
    return new


# Shrinking whole files takes minutes, and they are small already.
thorough = hypothesis.settings(
    deadline=None,
    report_multiple_bugs=False,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate],
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a made-up file and what it belongs to."""

    text: str
    cell: str = ""
    part: str = ""


WORDS = st.sampled_from(
    ["why", "é ü 漢", "0.5", "a: b", "{ece: 1}", "- x", "weight-0.3:", "# #", "'", '"', "&a *b"]
)
ROOM = st.sampled_from(["", " ", "   "])
numbers = st.one_of(
    st.floats(-10, 10).map(recorded),
    st.integers(0, 2**63),
    st.floats(1e-5, 1e-3),
    st.sampled_from([1e22, 1e-4]),
)
# As many spellings of a number as people use; all read back as what is recorded, or not.
spellings = st.sampled_from(["{:.4f}", "{:g}", "{!r}", "'{:.4f}'", '"{!r}"', "{:e}"])


@st.composite
def comment_lines(draw, cell="", deepest=8):
    kinds = draw(st.lists(st.sampled_from(["blank", "comment"]), max_size=2))
    return [
        Line(
            "" if kind == "blank" else f"{' ' * draw(st.integers(0, deepest))}# {draw(WORDS)}",
            cell,
            "comment",
        )
        for kind in kinds
    ]


@st.composite
def note_lines(draw, cell, indent):
    deeper = indent + "  "
    texts = draw(
        st.sampled_from(
            [
                ["note: loses most of conv12"],
                ["note:   'it''s #1: 漢'"],
                ['note: "a\\tb: {ece: 0.5}"'],
                ["note: |", f"{deeper}ece: 0.5", "", f"{deeper}# no comment"],
                ["note: |-   # a comment", f"{deeper}one", f"{deeper}  two"],
                ["note: >+", f"{deeper}folded", f"{deeper}text", ""],
                ["note: plain text", f"{deeper}over two lines"],
                ["note:", f"{deeper}below"],
                ['note: "quoted', f'{deeper}over two"'],
            ]
        )
    )
    return [Line(indent + texts[0], cell, "note"), *(Line(text, cell, "note") for text in texts[1:])]


@st.composite
def cell_lines(draw, cell, indent):
    """One accepted cell and its lines."""
    key = draw(st.sampled_from([cell, f"'{cell}'", f'"{cell}"']))
    metrics = draw(st.dictionaries(st.sampled_from(NAMES), numbers, min_size=1, max_size=4))
    written = {name: draw(spellings).format(value) for name, value in metrics.items()}
    style = draw(st.sampled_from(["block", "block", "block", "flow", "long flow", "empty"]))
    room = draw(ROOM)
    tail = draw(st.sampled_from(["", f"{room or ' '}# {draw(WORDS)}", room]))
    if style == "empty":
        return [Line(f"{indent}{key}:{draw(st.sampled_from(['', ' ~', ' {}']))}{tail}", cell, "flow")]
    if style == "flow":
        body = ", ".join(f"{name}: {value}" for name, value in written.items())
        return [Line(f"{indent}{key}: {{{body}}}{tail}", cell, "flow")]
    if style == "long flow":
        body = [Line(f"{indent}  {name}: {value},", cell, "flow") for name, value in written.items()]
        return [
            Line(f"{indent}{key}: {{", cell, "flow"),
            *body,
            Line(f"{indent}  note: 'x'}}{tail}", cell, "flow"),
        ]
    inner = indent + " " * draw(st.integers(1, 4))
    parts = []
    for name, value in written.items():
        after = draw(st.sampled_from(["", "", f" # {draw(WORDS)}", "   "]))
        colon = draw(st.sampled_from([": ", ":   ", " : "]))
        quoted = draw(st.sampled_from([name, name, f"'{name}'"]))
        parts.append([Line(f"{inner}{quoted}{colon}{value}{after}", cell, name)])
    if draw(st.booleans()):
        parts.append(draw(note_lines(cell, inner)))
    if draw(st.booleans()):
        tolerance = draw(
            st.sampled_from([["tolerance: {ece: {abs: 0.5}}"], ["tolerance:", "  ece:", "    rel: 1  # x"]])
        )
        parts.append([Line(inner + text, cell, "tolerance") for text in tolerance])
    if draw(st.integers(0, 3)) == 0:
        own = [["environment: {torch: 1.0, device: tpu}"], ["environment:", "  torch: 1.0", "  device: tpu"]]
        parts.append([Line(inner + text, cell, "environment") for text in draw(st.sampled_from(own))])
    parts = draw(st.permutations(parts))
    lines = [Line(f"{indent}{key}:{tail}", cell, "head")]
    # Behind a block text, a comment as deep as the text would be text; at once, or when what parts them goes.
    deepest = 0 if any(part[0].part == "note" for part in parts) else 8
    for part in parts:
        lines += [*draw(comment_lines(cell, deepest)), *part]
    return lines


@st.composite
def files(draw):
    """A baseline file as people might lay it out: its lines, line end and last line."""
    ids = draw(st.lists(st.sampled_from(IDS), unique=True, min_size=1, max_size=4))
    indent = " " * draw(st.integers(1, 4))
    cells = [Line(f"cells:{draw(st.sampled_from(['', '  # the cells']))}")]
    for cell in ids:
        # Less deep than any key: a block text may end right above it.
        cells += [dataclasses.replace(line, cell="") for line in draw(comment_lines("", 0))]
        cells += draw(cell_lines(cell, indent))
    environment = draw(
        st.sampled_from(
            [
                ["environment: {torch: 2.11.0, device: cpu, threads: 1, corruptions: generated}  # CI"],
                ["environment: {device: cpu, torch: 2.11.0}"],
                ["environment:", "    torch: 2.11.0  # pinned", "    # c", "    device: cpu"],
                ["environment: {}"],
                [],
            ]
        )
    )
    tolerance = draw(
        st.sampled_from([[], ["tolerance: {mpc: {abs: 0.02}}"], ["tolerance:", " mpc: # c", "  abs: 0.02"]])
    )
    blocks = [
        [Line(text) for text in draw(st.sampled_from([["prunecal: 1"], ['"prunecal"  :  1  # format']]))],
        [Line("model: vgg19")],
        [Line(f"protocol: {{name: quick, fingerprint: {QUICK.fingerprint}}}")],
        [Line(text, "", "environment") for text in environment],
        [Line(text) for text in tolerance],
        cells,
    ]
    lines = []
    for block in draw(st.permutations(blocks)):
        lines += [*draw(comment_lines("", 0)), *block]
    newline = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    text = draw(st.sampled_from(["", "", "\ufeff"])) + newline.join(line.text for line in lines)
    return text + draw(st.sampled_from([newline, newline, "", 2 * newline])), lines


@st.composite
def changes(draw, accepted):
    """A change to a file: cells as they are, changed, with other metrics, gone and new ones."""
    cells, removed = {}, []
    for key, cell in accepted.items():
        fate = draw(st.sampled_from(["leave", "same", "some", "other", "remove"]))
        if fate == "remove":
            removed.append(key)
        elif fate == "other":
            cells[key] = draw(st.dictionaries(st.sampled_from(NAMES), numbers, max_size=4))
        elif fate != "leave" and cell.metrics:
            chosen = draw(st.sets(st.sampled_from(sorted(cell.metrics)))) if fate == "some" else ()
            cells[key] = {
                name: draw(numbers) if name in chosen else recorded(value)
                for name, value in cell.metrics.items()
            }
    fresh = [key for key in IDS if key not in accepted]
    for key in draw(st.lists(st.sampled_from(fresh), unique=True, max_size=2)) if fresh else ():
        cells[key] = draw(st.dictionaries(st.sampled_from(NAMES), numbers, min_size=1, max_size=3))
    environment = draw(st.sampled_from([HERE, HERE, ELSEWHERE, {"torch": "2.11.0", "device": "cpu"}]))
    return Change("vgg19", environment, cells, tuple(removed))


def in_order(part, whole):
    rest = iter(whole)
    return [line for line in part if line not in rest]


@hypothesis.settings(thorough, max_examples=80)
@hypothesis.given(st.data())
def test_what_was_meant_is_written_and_other_lines_stay(data):
    text, lines = data.draw(files())
    before = baseline.parse(text, "f.yaml")
    change = data.draw(changes(before.cells))
    new = hold(text, change)
    assert new is not None, "a layout that people use was refused"
    same_environments = all(
        (before.environment_of(key) == change.environment) for key in before.cells if key in change.cells
    ) and (
        set(before.cells) - set(change.cells) - set(change.removed)
        or before.environment == change.environment
    )

    def stays(line):
        if line.part == "environment":
            return same_environments and line.cell not in change.removed
        if line.part == "flow" or not line.cell:
            return not line.cell or (line.cell not in change.cells and line.cell not in change.removed)
        if line.cell in change.removed:
            return False
        accepted, measured = before.cells[line.cell].metrics, change.cells.get(line.cell)
        if measured is None or line.part not in accepted:
            return True
        return line.part in measured and accepted[line.part] == recorded(measured[line.part])

    newline = "\r\n" if "\r\n" in text else "\n"
    kept = [line.text for line in lines if stays(line)]
    if change.removed:
        kept = list(filter(str.strip, kept))  # a blank line below a block text is part of it
    found = new.removeprefix("\ufeff").split(newline)
    assert in_order(kept, found) == []
    # What is new is a number, a cell's name, or an environment.
    added = Counter(found) - Counter(line.text for line in lines) - Counter([""])
    numbered = {name for cell in change.cells.values() for name in cell}
    for line in filter(str.strip, added):
        key = re.match(r"\s*[\"']?([\w.-]+)", line)[1]
        assert key in {*numbered, *change.cells, "environment", *HERE} or "note: 'x'" in line
    assert ("\r\n" in text) == ("\r\n" in new)
    assert new.replace("\r\n", "").count("\n") == (0 if "\r\n" in text else new.count("\n"))


@hypothesis.settings(thorough, max_examples=60)
@hypothesis.given(st.data())
def test_a_refresh_with_equal_numbers_returns_the_text_itself(data):
    text, _ = data.draw(files())
    before = baseline.parse(text, "f.yaml")
    by_environment = {}
    for key, cell in before.cells.items():
        environment = tuple(before.environment_of(key).items())
        if cell.metrics == {name: recorded(value) for name, value in cell.metrics.items()} != {}:
            by_environment.setdefault(environment, {})[key] = cell.metrics
    for environment, cells in by_environment.items():
        if len(cells) < len(before.cells) and environment:
            assert refreshed(text, cells, environment=dict(environment)) is text


FRAGMENTS = st.sampled_from(
    [
        "\n",
        "  ",
        ": ",
        "- ",
        "{",
        "}",
        "# c\n",
        " # c",
        "|\n",
        ">-\n",
        '"',
        "'",
        "? ",
        "\t",
        "\r",
        "\u2028",
        "...\n",
        " dense: ",
        "ece: 0.5\n",
        "{}",
        "~",
        ",",
        "note: x\n    ",
        "environment: {torch: 1}\n",
        "---\n",
        "[",
        "]",
    ]
)


@hypothesis.settings(thorough, max_examples=100)
@hypothesis.given(st.data())
def test_a_mangled_file_is_refreshed_rightly_or_refused(data):
    text, _ = data.draw(files())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.sampled_from([0, 0, 0, 1, 6])))
        text = text[:start] + data.draw(FRAGMENTS) + text[end:]
    try:
        before = baseline.parse(text, "f.yaml")
    except PrunecalError:
        return
    hold(text, data.draw(changes(before.cells)))
