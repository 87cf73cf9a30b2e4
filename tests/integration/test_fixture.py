"""The `prunecal` fixture in tests of a user's own."""

from __future__ import annotations

OWN = """\
import pytest
from pytest_prunecal.errors import PrunecalError

def test_mine(prunecal):
    measurement = prunecal.measure("tinynet", "weight", 0.5)
    assert measurement["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert prunecal.measure("tinynet")["sparsity"] == 0
    assert prunecal.measure("tinynet", "filter", 0).metrics == prunecal.measure("tinynet").metrics
    with pytest.raises(KeyError, match="no metric 'speed'; measured were accuracy, ece"):
        measurement["speed"]

def test_again(prunecal, record_property):
    for name, value in prunecal.measure("tiny:tiny", "channel", 0.3).metrics.items():
        record_property(name, value)
"""
WRONG = """\
import pytest
from pytest_prunecal.errors import PrunecalError

@pytest.mark.parametrize(("asked", "message"), [
    (("tinynt",), r"unknown model 'tinynt' \\(did you mean tinynet\\?\\)"),
    (("nowhere:net",), "there is no module 'nowhere' to import"),
    (("tinynet", "magic", 0.5), "unknown pruner 'magic'; known are weight, filter, channel"),
    (("tinynet", "weight", 1.5), r"ratio 1.5 is outside \\[0, 1\\)"),
    (("tinynet", None, 0.5), "ratio 0.5 of 'tinynet' needs a pruner"),
])
def test_wrong(prunecal, asked, message):
    with pytest.raises(PrunecalError, match=message):
        prunecal.measure(*asked)
"""


def test_it_measures_without_any_option(gated):
    gated.write({"test_own.py": OWN})
    outcome = gated.run()
    assert (outcome.ret, outcome.cells) == (0, {})
    assert "2 passed" in outcome.out
    assert "= prunecal =" not in outcome.out


def test_it_measures_what_the_gate_measures(gated):
    measuring = "print(prunecal.measure('tinynet', 'weight', 0.5).metrics)"
    gated.write({"test_own.py": f"def test_own(prunecal):\n    {measuring}\n"})
    outcome = gated.gate("test_own.py", "--prunecal-ratios=0.5", "--prunecal-pruners=weight", "-rP")
    assert outcome.ret == 0
    assert str(outcome.numbers["prune[weight-0.5]"]) in outcome.out.splitlines()


def test_it_takes_options_that_select_no_cells(gated):
    (gated.path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    gated.write({"test_own.py": OWN})
    outcome = gated.run("--prunecal-protocol=tiny.yaml", "--prunecal-store=kept", "--prunecal-device=cpu")
    assert (outcome.ret, outcome.cells) == (0, {})
    assert (gated.path / "kept/base").is_dir()


def test_it_says_what_is_wrong(gated):
    gated.write({"test_own.py": WRONG})
    outcome = gated.run()
    assert outcome.ret == 0, outcome.text


def test_a_failure_points_at_the_users_line(gated):
    gated.write({"test_own.py": "def test_own(prunecal):\n    prunecal.measure('tinynt')\n"})
    outcome = gated.run("--tb=short")
    assert outcome.ret == 1
    assert "test_own.py:2: in test_own" in outcome.out
    assert "PrunecalError: unknown model 'tinynt' (did you mean tinynet?); known are" in outcome.out
    assert "fixtures.py" not in outcome.out


def test_an_error_of_the_users_own_code_comes_without_our_frames(gated):
    gated.write(
        {
            "own.py": "def broken(num_classes):\n    return num_classes.depth\n",
            "test_own.py": "def test_own(prunecal):\n    prunecal.measure('own:broken')\n",
        }
    )
    outcome = gated.run("test_own.py")
    assert outcome.ret == 1
    assert "test_own.py:2: " in outcome.out
    assert "own.py:2: AttributeError" in outcome.out
    assert "pytest_prunecal/" not in outcome.out


def test_it_is_listed_with_its_docstring(plain):
    text = plain.runpytest_inprocess("--fixtures").stdout.str()
    assert "prunecal [session scope]" in text
    assert "Measure cells in a test of your own" in text
