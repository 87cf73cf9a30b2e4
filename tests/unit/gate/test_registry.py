"""Pruners that users add or name, and the extras that they need."""

import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate.registry import check_extensions, check_pruner, lacking
from pytest_prunecal.study import extras
from pytest_prunecal.study.extensions import Extensions
from pytest_prunecal.study.pruner import Pruner

OWN = Extensions(pruners={"mine": Pruner("my:prune", extra="onnx"), "other": Pruner("my:other")})


def test_pruners_whose_extra_is_lacking_are_refused_by_name(monkeypatch):
    check_extensions(OWN)
    for name in ("int8", "mine", "other", "weight"):
        assert lacking(name, OWN) == ""
        check_pruner(name, OWN)
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "onnxruntime" else object())
    needs = "needs onnxruntime, which is not installed: pip install 'pytest-prunecal[onnx]'"
    for name in ("int8", "mine"):
        with pytest.raises(PrunecalError) as caught:
            check_pruner(name, OWN)
        assert str(caught.value) == f"pruner {name!r} {needs}"
    check_pruner("weight", OWN)
    check_pruner("other", OWN)


def test_an_extra_that_there_is_not_is_one_sentence():
    strange = Extensions(pruners={"mine": Pruner("my:prune", extra="gpu")})
    with pytest.raises(PrunecalError, match="adds pruner 'mine' with the extra 'gpu'; known are onnx"):
        check_extensions(strange)


@pytest.mark.parametrize(
    ("levels", "says"),
    [
        ("hard", "with the levels 'hard'; give a tuple of names, empty for none"),
        (("hard", 3), r"with the levels \('hard', 3\); give a tuple of names"),
        (("very-hard",), "with the level 'very-hard'; name each once, of letters, digits and underscores"),
        (("hard", "soft", "hard"), "with the level 'hard'; name each once"),
        (("soft", "inf"), "with the level 'inf', which reads as a ratio; call it otherwise"),
        (("nan",), "with the level 'nan', which reads as a ratio"),
    ],
)
def test_levels_that_could_not_name_cells_are_one_sentence(levels, says):
    with pytest.raises(PrunecalError, match=f"adds pruner 'mine' {says}"):
        check_extensions(Extensions(pruners={"mine": Pruner("my:prune", levels=levels)}))
