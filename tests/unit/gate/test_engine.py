"""How options reach measuring: by their names."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_prunecal.gate import options, settings
from pytest_prunecal.gate.engine import setup_of
from pytest_prunecal.gate.readers import Written
from pytest_prunecal.lab import engines
from pytest_prunecal.study.extensions import Extensions


@pytest.fixture
def built(tmp_path):
    """Settings of some options."""

    def build(**texts):
        asked = {name: Written(name, text, tmp_path) for name, text in texts.items()}
        return settings.build(asked, Extensions(), tmp_path, (), 1.5, gated=False)

    return build


def test_the_setup_is_filled_by_name(built, tmp_path):
    made = built(pin="yes", update="all", fresh="yes", device="cuda:1", data=".")
    setup = setup_of(made, 3)
    assert dataclasses.asdict(setup).keys() == {field.name for field in dataclasses.fields(engines.Setup)}
    assert (setup.pin, setup.fresh, setup.device, setup.data) == (True, True, "cuda:1", tmp_path)
    assert (setup.store, setup.bases, setup.started, setup.worker) == (
        str(tmp_path / ".prunecal"),
        {},
        1.5,
        3,
    )
    assert setup.protocol is made.protocol
    assert setup.extensions is made.extensions


def test_a_new_option_reaches_the_engine_by_its_row_and_its_field(built, monkeypatch):
    monkeypatch.setitem(options.ROWS, "colour", options.Row("NAME", "colour of it", lambda it: it.text))
    longer = dataclasses.make_dataclass(
        "Setup", [("colour", str)], bases=(engines.Setup,), kw_only=True, frozen=True
    )
    monkeypatch.setattr(engines, "Setup", longer)
    assert setup_of(built(colour="red"), 0).colour == "red"


def test_a_field_of_no_option_is_no_field(built, monkeypatch):
    # With a default it would silently be that for ever.
    longer = dataclasses.make_dataclass(
        "Setup", [("colour", str, "red")], bases=(engines.Setup,), frozen=True
    )
    monkeypatch.setattr(engines, "Setup", longer)
    with pytest.raises(KeyError, match="colour"):
        setup_of(built(), 0)
