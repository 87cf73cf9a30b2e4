"""Splicing numbers into files as people might lay them out, made up at random."""

import dataclasses
import re
from collections import Counter

import hypothesis
from hypothesis import strategies as st

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.baseline.refresh import Change
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.metric import METRICS, recorded
from pytest_prunecal.study.protocol_file import BUILT_IN, load

QUICK = load("quick", BUILT_IN)
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
    "mine-hard",
    "2:4",
    "on",
]
NAMES = [*METRICS, "zeta", "on"]

# Shrinking whole files takes minutes, and they are small already.
thorough = hypothesis.settings(
    report_multiple_bugs=False,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate],
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
def test_what_was_meant_is_written_and_other_lines_stay(hold, data):
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
        key = re.match(r"\s*[\"']?(2:4|[\w.-]+)", line)[1]
        assert key in {*numbered, *change.cells, "environment", *HERE} or "note: 'x'" in line
    assert ("\r\n" in text) == ("\r\n" in new)
    assert new.replace("\r\n", "").count("\n") == (0 if "\r\n" in text else new.count("\n"))


@hypothesis.settings(thorough, max_examples=60)
@hypothesis.given(st.data())
def test_a_refresh_with_equal_numbers_returns_the_text_itself(refreshed, data):
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
def test_a_mangled_file_is_refreshed_rightly_or_refused(hold, data):
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


@hypothesis.settings(thorough, max_examples=40)
@hypothesis.given(st.data())
def test_the_file_of_a_finished_network_is_named_changed_and_removed_and_nothing_else_moves(hold, data):
    text, _ = data.draw(files())
    digests = st.sampled_from(["", "0" * 64, "1e" + "5" * 62, "ab" * 32])
    for _ in range(2):
        before = baseline.parse(text, "f.yaml")
        change = data.draw(changes(before.cells))
        networks = {key: data.draw(digests) for key in change.cells}
        new = hold(text, dataclasses.replace(change, networks={k: v for k, v in networks.items() if v}))
        assert new is not None, "a layout that people use was refused"
        after = baseline.parse(new, "f.yaml")
        for key, cell in after.cells.items():
            assert cell.network == networks.get(key, before.cells[key].network if key in before.cells else "")
        text = new
