"""The table of options: the command line, the ini file and the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate import options
from pytest_prunecal.gate.options import ROWS, Options
from pytest_prunecal.gate.readers import Written

ROOT = Path("/rootdir")


@pytest.fixture
def config(pytester):
    """What pytest makes of a command line, in a folder with these lines in its ini file."""

    def parsed(*args, ini=()):
        pytester.makefile(".ini", pytest="\n".join(["[pytest]", *ini]) + "\n")
        return pytester.parseconfig(*args)

    return parsed


def test_every_option_is_a_row_with_a_type_and_help():
    assert list(ROWS) == list(Options.__annotations__)
    for name, row in ROWS.items():
        assert row.help, name
        assert row.metavar or row.bare == "yes", name


def test_an_option_without_a_default_may_have_no_value():
    hints = get_type_hints(Options, {**vars(options), "Path": Path})
    for name, row in ROWS.items():
        assert (type(None) in get_args(hints[name])) == (row.default is None), name


def test_every_option_has_an_ini_twin(config, pytester):
    found = options.asked(config(ini=[f"prunecal_{name} = of {name}" for name in ROWS]))
    assert found == {name: Written(name, f"of {name}", pytester.path) for name in ROWS}


def test_every_option_stands_on_the_command_line(config, pytester):
    args = [
        f"--prunecal-{name}={name}" if row.metavar else f"--prunecal-{name}" for name, row in ROWS.items()
    ]
    texts = {name: name if row.metavar else "yes" for name, row in ROWS.items()}
    found = options.asked(config(*args))
    assert found == {name: Written(name, text, pytester.path, given=True) for name, text in texts.items()}


def test_the_command_line_has_the_last_word(config):
    found = options.asked(
        config("--prunecal-seeds=3", ini=["prunecal_seeds = 2", "prunecal_models = a", "prunecal_store ="])
    )
    assert {name: (written.text, written.given) for name, written in found.items()} == {
        "models": ("a", False),
        "seeds": ("3", True),
    }


def test_paths_are_relative_to_where_they_are_written(pytester, monkeypatch):
    pytester.makefile(".ini", pytest="[pytest]\nprunecal_report = r.html\nprunecal_baselines = ../b\n")
    below = pytester.mkdir("below")
    monkeypatch.chdir(below)
    config = pytester.parseconfig("--prunecal-json=j.json", f"--rootdir={pytester.path}")
    found = Options(options.asked(config), config.rootpath)
    assert found.report == pytester.path / "r.html"
    assert found.baselines == pytester.path.parent / "b"
    assert found.json == below / "j.json"
    assert found.store == str(pytester.path / ".prunecal")


def test_what_is_not_asked_for():
    assert vars(Options({}, ROOT)) == {
        "models": None,
        "pruners": None,
        "ratios": None,
        "protocol": None,
        "baselines": ROOT / "baselines",
        "update": None,
        "seeds": None,
        "repeat": None,
        "changed": "tell",
        "fresh": False,
        "power": False,
        "plan": False,
        "candidate": (),
        "trust": (),
        "checkpoint": {},
        "pin": False,
        "data": None,
        "device": "auto",
        "store": str(ROOT / ".prunecal"),
        "report": None,
        "json": None,
    }


def test_an_empty_text_is_the_default():
    asked = {
        name: Written(name, "", Path("/elsewhere"), given=True)
        for name in ("seeds", "changed", "device", "store")
    }
    assert vars(Options(asked, ROOT)) == vars(Options({}, ROOT))


def test_an_update_without_a_value_is_of_all(config):
    assert options.asked(config("--prunecal-update"))["update"].text == "all"


@pytest.mark.parametrize(("text", "power"), [("yes", True), ("True", True), ("no", False), ("0", False)])
def test_an_ini_file_may_say_no(config, text, power):
    found = options.asked(config(ini=[f"prunecal_power = {text}"]))
    assert Options(found, ROOT).power is power


def test_options_stay_as_they_were_read():
    with pytest.raises(AttributeError, match="seeds cannot be set"):
        Options({}, ROOT).seeds = 3


def test_a_row_is_all_that_an_option_needs(monkeypatch):
    monkeypatch.setitem(ROWS, "colour", options.Row("NAME", "colour of it", lambda written: written.text * 2))
    assert Options({"colour": Written("colour", "red", ROOT)}, ROOT).colour == "redred"


def test_a_checkpoint_may_be_repeated(config):
    found = options.asked(config("--prunecal-checkpoint=a=x", "--prunecal-checkpoint=b=y"))
    assert found["checkpoint"].text == "a=x\nb=y"


def test_a_wrong_text_is_refused_when_it_is_read():
    with pytest.raises(PrunecalError, match="--prunecal-seeds=x: give a whole number from 1 to 100"):
        Options({"seeds": Written("seeds", "x", ROOT)}, ROOT)


@pytest.mark.parametrize("word", ["tell", "fail"])
def test_what_a_change_comes_to_is_said_on_either_place(config, word):
    assert Options(options.asked(config(f"--prunecal-changed={word}")), ROOT).changed == word
    assert Options(options.asked(config(ini=[f"prunecal_changed = {word}"])), ROOT).changed == word
