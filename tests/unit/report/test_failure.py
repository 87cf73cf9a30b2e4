"""What a failing test says."""

import re
from datetime import date

from pytest_prunecal.baseline.file import Known
from pytest_prunecal.judge.compared import Sides
from pytest_prunecal.judge.judging import Circumstances, judge
from pytest_prunecal.judge.screen import Difference
from pytest_prunecal.report.failure import failure, pooled_failure
from pytest_prunecal.report.run import Against
from pytest_prunecal.report.wording import verdict_line
from pytest_prunecal.study.cell import cell_from_id
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.protocol_file import BUILT_IN, load
from pytest_prunecal.study.tolerance import Tolerance

QUICK = load("quick", BUILT_IN)
ACCEPTED = {"accuracy": 0.9688, "ece": 0.0096, "brier": 0.05, "mpc": 0.9, "macs": 1604224}
ROOM = {
    "accuracy": Tolerance(abs=0.01, source="protocol quick"),
    "ece": Tolerance(abs=0.01, source="f.yaml:7"),
}
# The very same network on both sides: without noise, auto is exact.
GIVEN = Circumstances(Sides(QUICK.noise, tuned=False, same_base=True), level=0.01)
PLACE = ("quick", "baselines/quick/vgg19.yaml", "pytest --prunecal-update")


def judged(accepted=ACCEPTED, **measured):
    return judge(ACCEPTED | measured, accepted, ROOM, METRICS, GIVEN)


def message(verdict, name="weight-0.3", **more):
    return failure(cell_from_id("vgg19", name), verdict, Against(*PLACE, **more), METRICS).splitlines()


def test_a_failure_says_the_verdict_first():
    lines = message(judged(ece=0.0317, accuracy=0.97, macs=1604225), line=7, note="a stranger's note\n")
    assert lines[0] == "regression: ece 0.0096 -> 0.0317, macs 1604224 -> 1604225"
    assert lines[2] == "vgg19 weight-0.3 under protocol quick, against baselines/quick/vgg19.yaml:7"
    assert lines[3:5] == ["note: a stranger's note", ""]
    assert lines[5:13] == [
        "metric    baseline    measured     change  allowed  caught from  tolerance",
        "accuracy    0.9688      0.9700    +0.0012   0.0100               0.01 (protocol quick)",
        "ece         0.0096      0.0317    +0.0221   0.0100               0.01 (f.yaml:7)        regression",
        "brier       0.0500      0.0500          =   0.0000       0.0000  auto (default)",
        "mpc         0.9000      0.9000          =   0.0000       0.0000  auto (default)",
        "macs       1604224     1604225         +1        0            0  auto (default)         regression",
        "",
        "compared exactly, as noise has no part in it: brier, mpc, macs",
    ]
    assert lines[-2:] == ["If this change is meant, accept it:", "    pytest --prunecal-update"]
    assert all(line == line.rstrip() for line in lines)


def test_a_known_regression_that_is_no_longer_tolerated_says_so():
    known = Known("issue 12\n", "f.yaml:9", date(2026, 1, 31))
    line = "known regression (f.yaml:9), tolerated until 2026-01-31: issue 12"
    assert line in message(judged(ece=0.5), known=known)
    assert "known regression (f.yaml:9), tolerated for ever: issue 12" in (
        message(judged(ece=0.5), known=Known("issue 12", "f.yaml:9"))
    )


def test_a_failure_without_numbers_to_compare_with():
    lines = message(judge(ACCEPTED, None, ROOM, METRICS, GIVEN), "filter-0.3")
    assert lines[0] == "missing: no accepted numbers for this cell"
    assert lines[2].endswith("against baselines/quick/vgg19.yaml")
    assert re.fullmatch(r"accuracy +- +0\.9688 +0\.01 \(protocol quick\) +missing", lines[5])


def test_headlines():
    assert verdict_line(judged({**ACCEPTED, "nll": 1.0})) == "nll has a baseline and was not measured"
    assert verdict_line(judged(mpc=0.1)) == "regression: mpc 0.9000 -> 0.1000"


def test_pooled_failures_name_what_got_worse(build):
    against = Against("quick", "f.yaml", "pytest vgg19 --accept")
    lines = pooled_failure("vgg19", (build.WORSE, build.LIGHTER), against, METRICS).splitlines()
    assert lines[0] == "regression over 21 cells together: accuracy -0.0123"
    assert lines[2] == "vgg19 under protocol quick, against f.yaml"
    assert lines[4:7] == [
        "metric      of           cells  mean change  allowed  caught from",
        "accuracy    all pruners     21      -0.0123   0.0050       0.0071  regression",
        "parameters  filter          21          -12   100175       100175",
    ]
    assert lines[8] == "Cells taken together show what each of them hides in its noise."
    assert lines[-1] == "    pytest vgg19 --accept"


def test_a_failure_says_what_was_compared_over_how_many_seeds_and_where_the_fault_can_lie(build):
    over = {"accuracy": (0.85,) * 5, "ece": (0.03,) * 5}
    step = Difference("finetune", "loss 3", 2.1, 2.25, 1e-5)
    for differences, accepted_each, compared, screened in (
        (None, {}, "the mean of 12 accepted seeds", None),
        (
            (step,),
            {},
            "the mean of 12 accepted seeds",
            "not what was accepted: fine-tuning differs from step 3",
        ),
        (
            (),
            {"accuracy": (0.95,) * 12},
            "the accepted number of the same seed",
            "what was accepted: data, base",
        ),
    ):
        found = build.noisy(
            "weight-0.3", {"accuracy": 0.85}, each=over, most=16, accepted_seeds=12, differences=differences,
            accepted_each=accepted_each,
        )  # fmt: skip
        lines = message(found.verdict)
        assert lines[0] == "regression: accuracy 0.9500 -> 0.8500"
        (line,) = [line for line in lines if line.startswith("compared over 5 seeds") and "accuracy" in line]
        assert f"against {compared}" in line
        if screened:
            assert any(line.startswith(screened) for line in lines)
        else:
            assert not any("what was accepted" in line for line in lines)
