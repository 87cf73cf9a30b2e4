"""Settings: what is made of the options together."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate import settings
from pytest_prunecal.gate.readers import Written
from pytest_prunecal.store import environment
from pytest_prunecal.study.cell import Cell
from pytest_prunecal.study.extensions import Extensions


@pytest.fixture
def built(tmp_path):
    """Settings of some options, given on the command line or not, in an empty root directory."""

    def build(named=(), *, gated=False, given=True, **texts):
        asked = {name: Written(name, text, tmp_path, given) for name, text in texts.items()}
        return settings.build(asked, Extensions(), tmp_path, named, 1.5, gated=gated)

    return build


def save(path):
    """Write a file of weights of one tensor, which is all that is looked at here."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))


def refused(says):
    return pytest.raises(PrunecalError, match=f"^{re.escape(says)}")


def test_nothing_is_asked_for(built, tmp_path):
    found = built()
    assert (found.protocol.name, found.folder) == ("quick", tmp_path / "baselines/quick")
    assert (found.files, found.bases, found.repeated, found.started) == ((), {}, (), 1.5)


def test_settings_are_frozen(built):
    with pytest.raises(dataclasses.FrozenInstanceError):
        built().started = 0.0


def test_a_command_repeats_what_changes_the_meaning_of_numbers(built):
    found = built(
        protocol="paper",
        seeds="3",
        device="cpu",
        store="elsewhere",
        json="a b",
        update="all",
        models="vgg19",
        gated=True,
    )
    assert found.repeated == ("--prunecal-protocol=paper", "--prunecal-seeds=3", "--prunecal-device=cpu")
    (file,) = found.files
    repeated = "--prunecal-protocol=paper --prunecal-seeds=3 --prunecal-device=cpu"
    whole = f"pytest --prunecal-models=vgg19 {repeated} --prunecal-update"
    assert found.accept_command(file, file.cells) == whole


@pytest.mark.parametrize(("texts", "most"), [({}, 16), ({"repeat": "3"}, 3)])
def test_how_often_a_cell_in_doubt_is_measured(built, texts, most):
    found = built(**texts)
    assert found.protocol.repeat == most
    assert found.protocol.fingerprint == built().protocol.fingerprint


def test_a_command_repeats_how_often_a_cell_in_doubt_is_measured(built):
    assert built(repeat="3", changed="fail").repeated == ("--prunecal-repeat=3",)


def test_a_command_accepts_some_cells_and_no_others(built):
    found = built(update="all", models="vgg19", gated=True)
    (file,) = found.files
    dense, half, other = (
        Cell("vgg19", pruner, ratio) for pruner, ratio in ((None, 0.0), ("weight", 0.5), ("filter", 0.3))
    )
    for cells, narrowing in (
        ([dense], "--prunecal-ratios=0"),
        ([half], "--prunecal-pruners=weight --prunecal-ratios=0.5"),
        ([half, dense], "--prunecal-pruners=weight --prunecal-ratios=0.5,0"),
        (
            [half, other],
            (
                "--prunecal-pruners=weight,filter --prunecal-ratios=0.5,0.3 "
                "-k 'prune[weight-0.5] or prune[filter-0.3]'"
            ),
        ),
    ):
        said = found.accept_command(file, cells)
        assert said == f"pytest --prunecal-models=vgg19 {narrowing} --prunecal-update"
    assert found.accept_command(file, []) == ""


def test_a_command_for_a_whole_narrowed_run_is_as_narrow(built):
    found = built(update="all", models="vgg19", pruners="weight", ratios="0.35", gated=True)
    (file,) = found.files
    assert "--prunecal-pruners=weight --prunecal-ratios=0.35" in found.accept_command(file, file.cells)


def test_a_command_repeats_nothing_that_the_ini_file_says(built):
    assert built(given=False, protocol="paper", seeds="3").repeated == ()


def test_a_command_repeats_the_protocol_that_only_a_named_baseline_says(built, tmp_path):
    named = [tmp_path / "baselines" / "paper"]
    found = built(named)
    assert (found.protocol.name, found.repeated) == ("paper", ("--prunecal-protocol=paper",))


def test_a_quoted_command(built, tmp_path):
    (tmp_path / "my data").mkdir()
    found = built(data="my data", models="vgg19", update="all", gated=True)
    assert " '--prunecal-data=my data' " in found.accept_command(found.files[0], found.files[0].cells)


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({}, "--prunecal-pin goes with a bare --prunecal-update: "),
        ({"update": "missing"}, "--prunecal-pin goes with a bare --prunecal-update: "),
        ({"update": "all", "checkpoint": "vgg19=net"}, "--prunecal-pin keeps what base training gives; "),
        ({"update": "all", "store": "s3://bucket"}, "--prunecal-pin needs a store on this machine; "),
    ],
)
def test_pinning_goes_with_few_others(built, tmp_path, texts, says):
    save(tmp_path / "net")
    with refused(says):
        built(pin="yes", **texts)
    built(pin="no", **texts)


@pytest.mark.parametrize("name", ["report", "json"])
def test_a_report_needs_a_gate(built, name):
    with refused(f"--prunecal-{name} has no gate to report; say what to gate: "):
        built(**{name: "out"})
    assert getattr(built(given=False, **{name: "out"}).options, name).name == "out"


def test_a_checkpoint_is_a_base_of_either_kind(built, tmp_path):
    save(tmp_path / "net")
    assert {key: base.path for key, base in built(checkpoint="vgg19=net").bases.items()} == {
        ("vgg19", "plain"): tmp_path / "net",
        ("vgg19", "slimmed"): tmp_path / "net",
    }


def test_a_checkpoint_of_an_unknown_model(built, tmp_path):
    (tmp_path / "net").touch()
    with refused("--prunecal-checkpoint: unknown model 'vgg91' (did you mean vgg19?)"):
        built(checkpoint="vgg91=net")


GATED = {"gated": True, "update": "all", "models": "vgg19"}


@pytest.mark.parametrize("given", [True, False])
def test_a_checkpoint_of_a_model_that_is_not_gated(built, tmp_path, given):
    save(tmp_path / "net")
    with refused("--prunecal-checkpoint: resnet20 is not gated here, only vgg19; name it in "):
        built(checkpoint="resnet20=net", given=given, **GATED)
    # Tests of the user's own may measure any model.
    assert built(checkpoint="resnet20=net", given=given).bases


def test_a_command_line_may_leave_out_models_that_an_ini_file_has_checkpoints_of(tmp_path):
    save(tmp_path / "net")
    asked = {
        "models": Written("models", "vgg19", tmp_path, given=True),
        "update": Written("update", "all", tmp_path, given=True),
        "checkpoint": Written("checkpoint", "resnet20=net", tmp_path),
    }
    assert settings.build(asked, Extensions(), tmp_path, [], 1.5, gated=True).bases


def test_a_command_repeats_every_checkpoint(built, tmp_path):
    save(tmp_path / "net")
    save(tmp_path / "a,b")
    assert built(checkpoint="vgg19=net\nresnet20=a,b").repeated == (
        "--prunecal-checkpoint=vgg19=net",
        "--prunecal-checkpoint=resnet20=a,b",
    )


def test_a_checkpoint_is_opened_before_anything_is_measured(built, tmp_path):
    (tmp_path / "net").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with refused(f"checkpoint {tmp_path}/net: is a Git LFS pointer, not the file that it stands for; "):
        built(checkpoint="vgg19=net")


@pytest.mark.parametrize(("count", "fits"), [(0, False), (1, False), (2, True), (None, True)])
def test_a_gpu_that_is_not_there(built, monkeypatch, count, fits):
    monkeypatch.setattr(environment, "cuda_devices", lambda: count)
    found = built(device="cuda:1", **GATED)
    if fits:
        settings.check_device(found)
    else:
        with refused(f"--prunecal-device=cuda:1: this machine has {count} CUDA devices; use cpu or auto"):
            settings.check_device(found)
    settings.check_device(built(device="cuda:1"))  # nothing is gated
    settings.check_device(built(device="cpu", **GATED))


def test_a_name_that_leaves_no_room_to_write_it(built, tmp_path):
    name = "x" * 250
    with refused(f"{tmp_path}/new/{name} cannot be written: File name too long"):
        settings.check_writable(built(json=f"new/{name}", given=False), measures=True)
    assert not (tmp_path / "new").exists()


def test_what_will_be_written_can_be_written(built, tmp_path):
    Path(tmp_path / "taken").touch()
    with refused(f"{tmp_path}/taken/run.json cannot be written: "):
        settings.check_writable(built(json="taken/run.json", given=False), measures=True)
    settings.check_writable(built(json="new/run.json", given=False), measures=True)
    assert (tmp_path / "new").is_dir()
