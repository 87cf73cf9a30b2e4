"""What is read in a terminal: the failure of a cell, the summary of a run."""

import dataclasses
import re
from types import SimpleNamespace

import hypothesis
import pytest
from hypothesis import strategies as st

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.judge.pooled import Pooled
from pytest_prunecal.judge.verdict import Circumstances, Status, judge
from pytest_prunecal.report import terminal
from pytest_prunecal.report.failure import failure, headline, together_failure
from pytest_prunecal.report.run import CellResult, ModelRun, Run, sort_results
from pytest_prunecal.report.text_table import signed, sure, table
from pytest_prunecal.study import cell
from pytest_prunecal.study.cell import cell_from_id
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.protocol_file import BUILT_IN, load
from pytest_prunecal.study.tolerance import Tolerance
from pytest_prunecal.study.uncertainty import Uncertainty

QUICK = load("quick", BUILT_IN)
ACCEPTED = {"accuracy": 0.9688, "ece": 0.0096, "mpc": 0.9, "corrupted_ece": 0.05, "macs": 1604224}
ROOM = {
    "accuracy": Tolerance(abs=0.01, source="protocol quick"),
    "ece": Tolerance(abs=0.01, source="f.yaml:7"),
}
# The very same network on both sides: without noise, auto is exact.
GIVEN = Circumstances(QUICK.noise, QUICK.false_alarms, pairing=Pairing(same_base=True, tuned=False))
BASELINE = baseline.parse(
    f"""\
prunecal: 1
model: vgg19
protocol: {{name: quick, fingerprint: {QUICK.fingerprint}}}
cells:
  dense:
    ece: 0.0096
  weight-0.3:
    note: a stranger's note
    ece: 0.0096
""",
    "baselines/quick/vgg19.yaml",
)
SETTINGS = SimpleNamespace(
    protocol=QUICK,
    accept_command=lambda model, cells: (
        f"pytest {model} {','.join(one.id for one in cells)} --prunecal-update"
    ),
)


def judged(accepted=ACCEPTED, **measured):
    return judge(ACCEPTED | measured, accepted, ROOM, METRICS, GIVEN)


def message(verdict, name="weight-0.3", file=BASELINE):
    gate = SimpleNamespace(
        name="baselines/quick/vgg19.yaml", accepted=lambda cell: file.cells.get(cell.id) if file else None
    )
    return failure(gate, cell_from_id("vgg19", name), verdict, SETTINGS).splitlines()


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


@pytest.mark.parametrize(
    ("change", "text"),
    [(0, "="), (0.0, "="), (-0.0, "="), (0.0123, "+0.0123"), (-0.5, "-0.5000"), (45, "+45"), (-45, "-45")],
)
def test_changes_have_a_sign(change, text):
    assert signed(change) == text


def test_a_failure_says_the_verdict_first():
    lines = message(judged(ece=0.0317, accuracy=0.97, macs=1604225))
    assert lines[0] == "regression: ece 0.0096 -> 0.0317, macs 1604224 -> 1604225"
    assert lines[2] == "vgg19 weight-0.3 under protocol quick, against baselines/quick/vgg19.yaml:7"
    assert lines[3:5] == ["note: a stranger's note", ""]
    assert lines[5:13] == [
        "metric         baseline    measured     change  allowed  tolerance",
        "accuracy         0.9688      0.9700    +0.0012   0.0100  0.01 (protocol quick)",
        "ece              0.0096      0.0317    +0.0221   0.0100  0.01 (f.yaml:7)        regression",
        "mpc              0.9000      0.9000          =   0.0000  auto (default)",
        "corrupted_ece    0.0500      0.0500          =   0.0000  auto (default)",
        "macs            1604224     1604225         +1        0  auto (default)         regression",
        "",
        "auto compares mpc, corrupted_ece, macs: the same network, no training in between",
    ]
    assert lines[-2:] == [
        "If this change is meant, accept it:",
        "    pytest vgg19 weight-0.3 --prunecal-update",
    ]
    assert all(line == line.rstrip() for line in lines)


def test_a_failure_without_numbers_to_compare_with():
    lines = message(judge(ACCEPTED, None, ROOM, METRICS, GIVEN), "filter-0.3")
    assert lines[0] == "missing: no accepted numbers for this cell"
    assert lines[2].endswith("against baselines/quick/vgg19.yaml")
    assert re.fullmatch(r"accuracy +- +0\.9688 +0\.01 \(protocol quick\) +missing", lines[5])
    assert message(judge(ACCEPTED, None, ROOM, METRICS, GIVEN), "dense", None)[2].endswith("quick/vgg19.yaml")


def test_headlines():
    assert headline(judged({**ACCEPTED, "nll": 1.0})) == "nll has a baseline and was not measured"
    assert headline(judged(mpc=0.1)) == "regression: mpc 0.9000 -> 0.1000"


def result(name, *, accepted=False, **measured):
    measurement = Measurement(ACCEPTED | measured)
    return CellResult(cell_from_id("vgg19", name), measurement, judged(**measured), accepted=accepted)


RESULTS = [
    result("channel-0.7", ece=0.5),
    result("dense"),
    result("weight-0.5", ece=0.0097),
    result("weight-0.3", accuracy=0.99),
    CellResult(cell_from_id("vgg19", "filter-0.3"), error="\nthe worker died\nand more\n"),
    result("filter-0.5", ece=0.5, accepted=True),
]


def run_of(results, **more):
    model = ModelRun("vgg19", "f.yaml", sort_results(list(results), QUICK), accept="pytest --accept", **more)
    return Run(QUICK, METRICS, (model,))


def test_the_summary_has_one_line_a_cell():
    lines = list(terminal.lines(run_of(RESULTS)))
    assert lines[0] == f"vgg19 under quick ({QUICK.fingerprint}), f.yaml"
    body = lines[2:8]
    assert [line.split()[0] for line in body] == (
        ["dense", "weight-0.3", "weight-0.5", "filter-0.3", "filter-0.5", "channel-0.7"]
    )
    assert re.fullmatch(r"dense +0\.9688 += +0\.0096 += +0\.9000 += +0\.0500 += +identical", body[0])
    assert re.fullmatch(r"weight-0.3 +0\.9900 +\+0\.0212 .* improvement", body[1])
    assert re.fullmatch(r"weight-0.5 .* \+0\.0001 .* ok", body[2])
    assert re.fullmatch(r"filter-0.3( +-){4} +error: .*", body[3])
    assert body[4].endswith(" accepted")
    assert body[5].endswith(" regression in ece")
    assert (
        len(
            {
                line.index(text)
                for line, text in zip(body[:3], ("identical", "improvement", "ok"), strict=True)
            }
        )
        == 1
    )
    assert lines[1].index("verdict") == body[0].index("identical")
    assert "better than the baseline beyond tolerance: weight-0.3; keep it with" in lines
    assert lines[-2:] == [
        "",
        "6 cells: 1 identical, 1 ok, 1 improvement, 1 accepted, 1 regression, 1 error",
    ]
    assert all(line == line.rstrip() and "\n" not in line for line in lines)


def test_the_summary_says_what_else_there_is_to_know():
    odd = dataclasses.replace(
        RESULTS[1], measurement=Measurement(ACCEPTED, warnings=("conv1 keeps one channel",))
    )
    run = run_of(
        [odd], orphans=("old-0.5",), environment="torch 2.11.0 -> 2.12.0", refreshed="f.yaml: refreshed"
    )
    lines = list(terminal.lines(dataclasses.replace(run, interrupted=True)))
    assert "measured elsewhere than the baseline: torch 2.11.0 -> 2.12.0" in lines
    assert "dense: conv1 keeps one channel" in lines
    assert "f.yaml: refreshed" in lines
    assert any("no longer has: old-0.5;" in line for line in lines)
    assert lines[-1] == "1 cell: 1 identical (interrupted)"
    assert list(terminal.lines(run_of([])))[-1] == "0 cells: none measured"


def test_labels_and_failures():
    found = {one.cell.id: (one.label, one.failed) for one in RESULTS}
    assert found == {
        "dense": ("identical", False),
        "weight-0.5": ("ok", False),
        "weight-0.3": ("improvement", False),
        "channel-0.7": ("regression", True),
        "filter-0.3": ("error", True),
        "filter-0.5": ("accepted", False),
    }
    assert result("dense", accepted=True).label == "identical"
    missing = CellResult(
        cell.Cell("vgg19", None, 0.0), Measurement(ACCEPTED), judge(ACCEPTED, None, {}, METRICS, GIVEN)
    )
    assert (missing.label, missing.failed) == (Status.MISSING.value, True)


def noisy(name, known="", **measured):
    """A cell under `auto` from the same base network, not paired by image."""
    errors = {"accuracy": Uncertainty(0.006), "ece": Uncertainty(0.004, 0.003, 3)}
    pairing = Pairing(same_base=True, unpaired="no results by image at hand")
    circumstances = dataclasses.replace(
        GIVEN, comparisons=10, min_effect=QUICK.min_effect, measured=errors, pairing=pairing
    )
    numbers = ACCEPTED | measured
    verdict = judge(numbers, ACCEPTED, {}, METRICS, circumstances)
    measurement = Measurement(numbers, uncertainty=errors)
    return CellResult(cell_from_id("vgg19", name), measurement, verdict, known=known, pairing=pairing)


WORSE = Pooled("accuracy", Status.REGRESSION, -0.0123, 0.005, 0.0071, 21, 1e-6)


def test_the_summary_says_how_sure_the_numbers_are_and_what_noise_hides():
    lines = list(terminal.lines(run_of([noisy("weight-0.3"), noisy("weight-0.5")], together=(WORSE,))))
    assert re.fullmatch(r"weight-0\.3 +0\.9688 +±0\.006 += +0\.0096 +±0\.004/0\.003 +=.*", lines[2])
    assert "± sampling error on the test images/deviation over seeds" in lines
    assert "compared: same base network, not paired, 1 and 3 seeds (weight-0.3, weight-0.5)" in lines
    hint = "not paired by image, hence less sharp: no results by image at hand (weight-0.3, weight-0.5)"
    assert hint in lines
    (blind,) = [line for line in lines if "cannot see all that matters" in line]
    assert blind.startswith("4 of 10 comparisons")
    at = lines.index("all cells together, weighted by how sure each is")
    assert lines[at + 2].split() == ["accuracy", "21", "-0.0123", "0.0050", "0.0071", "regression"]


def test_the_summary_lists_what_is_caught_when_asked():
    run = dataclasses.replace(run_of([noisy("weight-0.3")]), power=True)
    lines = list(terminal.lines(run))
    at = next(index for index, line in enumerate(lines) if line.startswith("smallest regression caught"))
    assert lines[at + 1].split() == ["cell", *ACCEPTED]
    cell_id, *caught = lines[at + 2].split()
    assert cell_id == "weight-0.3"
    assert [text.endswith("*") for text in caught] == [True, True, False, False, False]
    assert caught[-1].isdecimal()


def test_known_regressions_have_their_label():
    lines = list(terminal.lines(run_of([noisy("weight-0.3", known="issue 12", accuracy=0.5)])))
    assert lines[2].endswith(" known")
    assert lines[-1] == "1 cell: 1 known"


def test_together_failures_name_what_got_worse():
    settings = SimpleNamespace(protocol=QUICK, accept_command=lambda model: f"pytest {model} --accept")
    lines = together_failure(SimpleNamespace(model="vgg19", name="f.yaml"), (WORSE,), settings).splitlines()
    assert lines[0] == "regression over 21 cells together: accuracy -0.0123"
    assert lines[2] == "vgg19 under protocol quick, against f.yaml"
    assert lines[-1] == "    pytest vgg19 --accept"


@pytest.mark.parametrize(
    ("uncertainty", "text"),
    [
        (Uncertainty(), ""),
        (Uncertainty(0.00432), "±0.0043"),
        (Uncertainty(0.00432, 0.0031, 3), "±0.0043/0.0031"),
        (Uncertainty(None, 1234.0, 3), "±-/1200"),
    ],
)
def test_uncertainties_stand_beside_their_numbers(uncertainty, text):
    assert sure(uncertainty) == text
