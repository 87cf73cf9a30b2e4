"""Whatever the file system, a checkpoint or a conftest.py does wrong: exit 4 and one line beforehand."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pytest_prunecal.study import protocol_file

MODELS = "--prunecal-models=tinynet"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"
LONG = "x" * 300


def refused(project, *args):
    """The one line that a refused run prints."""
    outcome = project.run(*args)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR, outcome.text
    assert outcome.out.strip() == ""
    line = outcome.err.strip()
    assert line.startswith("ERROR: prunecal: ")
    assert "\n" not in line
    return line.removeprefix("ERROR: prunecal: ")


@pytest.fixture
def weights(gated):
    """Weights of the project's network, as it was trained."""
    (path, *_) = sorted((gated.path / ".prunecal/base").glob("*.safetensors"))
    return load_file(path)


# ------------------------------------------------------------------------------------------------ checkpoints


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty; name a safetensors file"),
        (b"PK\x03\x04" + bytes(100), "is a PyTorch file (.pt, .pth), which can run code when it is loaded, "),
        (b"\x80\x02}q\x00.", "is a pickle, which can run code when it is loaded, "),
        (POINTER, "is a Git LFS pointer, not the file that it stands for; fetch that with `git lfs pull`"),
        (b"garbage", "is a PyTorch file by its name, which can run code when it is loaded, "),
    ],
)
def test_a_file_that_is_no_checkpoint(gated, content, says):
    (gated.path / "net.pth").write_bytes(content)
    line = refused(gated, MODELS, "--prunecal-checkpoint=tinynet=net.pth")
    assert line.startswith(f"checkpoint {gated.path}/net.pth: {says}")


def test_a_quantised_checkpoint(gated, weights):
    weights["conv1.weight"] = weights["conv1.weight"].to(torch.int8)
    save_file(weights, gated.path / "net.safetensors")
    line = refused(gated, MODELS, "--prunecal-checkpoint=tinynet=net.safetensors")
    assert "net.safetensors: its conv1.weight is int8, wanted one of float16, " in line


def test_a_checkpoint_of_a_model_that_is_not_gated(gated, weights):
    save_file(weights, gated.path / "net.safetensors")
    line = refused(gated, MODELS, "--prunecal-checkpoint=resnet20=net.safetensors")
    assert line.startswith("--prunecal-checkpoint: resnet20 is not gated here, only tinynet; ")


def test_what_was_made_of_a_checkpoint_is_said(gated, weights):
    wrapped = {f"module.{name}": tensor.half() for name, tensor in weights.items()}
    save_file(wrapped, gated.path / "a,b=c.safetensors")
    outcome = gated.gate(
        "--prunecal-checkpoint=tinynet=a,b=c.safetensors",
        "--prunecal-ratios=0",
        "--prunecal-report=r.html",
        "--prunecal-update",
    )
    assert outcome.ret == 0, outcome.text
    for text in (outcome.out, (gated.path / "r.html").read_text()):
        assert "was taken off the name of every tensor" in text
        assert "its float16 tensors are measured as float32" in text


def test_a_checkpoint_of_another_network_is_one_sentence_a_cell(gated):
    save_file({"fc.weight": torch.zeros(2, 2)}, gated.path / "net.safetensors")
    outcome = gated.gate("--prunecal-checkpoint=tinynet=net.safetensors", "--prunecal-ratios=0")
    assert outcome.cells == {"dense": "failed"}
    message = outcome.message("dense").strip()
    assert message.startswith(f"checkpoint {gated.path}/net.safetensors: it lacks bn1.bias and ")
    assert "\n" not in message


def test_a_pinned_base_that_is_a_pointer(gated):
    (gated.path / "baselines/tiny/tinynet.plain.safetensors").write_bytes(POINTER)
    recipe = protocol_file.load("tiny.yaml", gated.path).base_fingerprint("tinynet", "plain")
    pinned = f"{{file: tinynet.plain.safetensors, sha256: abc, recipe: {recipe}}}"
    gated.edit("cells:", f"base:\n  plain: {pinned}\ncells:")
    assert refused(gated, MODELS) == (
        f"pinned base {gated.baseline.parent}/tinynet.plain.safetensors: is a Git LFS pointer, not the file "
        "that it stands for; fetch that with `git lfs pull`"
    )


@pytest.mark.parametrize("name", ["..", ".", "/etc/passwd", "a/b", "a\\\\b", "c:x", "a\\0b", "a\\nb"])
def test_a_side_file_that_lies_elsewhere(gated, name):
    gated.edit("images: {file: ", f'images: {{file: "{name}", sha256: a}}\n# ')
    line = refused(gated, MODELS)
    assert line == f"{gated.FILE}:6: images.file must be the name of a file in this folder"


# ---------------------------------------------------------------------------------------------------- network


def test_a_network_at_chance_is_accepted_with_a_warning(project):
    project.edit("learning_rate: 0.2", "learning_rate: 0.0000001", "tiny.yaml")
    outcome = project.gate("--prunecal-ratios=0", "--prunecal-update", "--prunecal-report=r.html")
    assert outcome.ret == 0, outcome.text
    for text in (outcome.out, (project.path / "r.html").read_text()):
        assert "it seems to have learned nothing" in text


# ------------------------------------------------------------------------------------------------ file system


@pytest.mark.parametrize("option", ["baselines", "store", "data", "report", "json", "protocol"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("loop", "Too many levels of symbolic links"),
        (LONG, "File name too long"),
        ("~nobody-at-all", "~nobody-at-all is nobody's home folder here; write ./~nobody-at-all"),
        ("pipe", ""),
        ("b\udcff", "is no UTF-8"),
    ],
    ids=["loop", "long", "home", "pipe", "bytes"],
)
def test_paths_that_are_none(gated, option, name, says):
    (gated.path / "loop").symlink_to("loop")
    os.mkfifo(gated.path / "pipe")
    line = refused(gated, MODELS, f"--prunecal-{option}={name}")
    assert says in line
    assert option in line
    assert name in line.replace("\\udcff", "\udcff")


@pytest.mark.parametrize("option", ["report", "json"])
def test_a_device_is_not_replaced_by_a_report(gated, option):
    assert refused(gated, MODELS, f"--prunecal-{option}=/dev/full").startswith(
        f"--prunecal-{option}=/dev/full"
    )


def test_a_model_whose_baseline_no_name_can_hold(gated):
    (gated.path / "nets.py").touch()
    assert "File name too long" in refused(gated, f"--prunecal-models=nets:{LONG}", "--prunecal-update")


def test_baselines_that_are_a_file(gated):
    line = refused(gated, MODELS, "--prunecal-baselines=tiny.py")
    assert line == f"--prunecal-baselines={gated.path}/tiny.py is no folder; name one"
    assert "no folder" in refused(gated, "--prunecal-baselines=tiny.py", "tiny.py")


def test_whatever_else_the_file_system_refuses(gated, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), f"{gated.path}/secret/tiny")

    monkeypatch.setattr("pytest_prunecal.gate.settings.select", denied)
    line = refused(gated, MODELS, "--prunecal-baselines=secret")
    assert line == (
        f"{gated.path}/secret/tiny cannot be used: Permission denied (see --prunecal-baselines=secret)"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="the root user may look everywhere")
def test_a_folder_without_permission(gated):
    (gated.path / "baselines").chmod(0)
    try:
        assert "Permission denied" in refused(gated, MODELS)
    finally:
        (gated.path / "baselines").chmod(0o755)


def test_a_run_that_does_not_use_the_plugin_is_left_alone(plain, monkeypatch):
    plain.mkdir("baselines")
    plain.makefile(".yaml", **{"baselines/quick/net": "prunecal: 1\n"})
    test = plain.makepyfile(**{"baselines/test_own": "def test_own(): pass"})
    original = Path.open

    def denied(path, *args, **kwargs):
        if path.suffix == ".yaml":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return original(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", denied)
    assert plain.runpytest_inprocess(test, plain.path / "baselines").ret == 0


def test_the_home_folder_in_an_ini_file(gated, monkeypatch):
    monkeypatch.setenv("HOME", str(gated.path))
    gated.write({"pytest.ini": "[pytest]\npythonpath = .\nprunecal_protocol = ~/tiny.yaml\n"})
    gated.edit("pythonpath = .\n", "pythonpath = .\nprunecal_store = ~/.prunecal\n", "pytest.ini")
    outcome = gated.gate("--prunecal-ratios=0", "--prunecal-json=~/run.json")
    assert outcome.ret == 0, outcome.text
    assert (gated.path / "run.json").exists()
    assert not (gated.path / "~").exists()


# ------------------------------------------------------------------------------------------------------ hooks


@pytest.mark.parametrize(
    ("hook", "says"),
    [
        (
            'models():\n    raise RuntimeError("out of order\\nand more")',
            "4: {} raised RuntimeError: out of order",
        ),
        ("pruners():\n    return helper()", "2: {} raised ZeroDivisionError: division by zero"),
        ("datasets():\n    import sys\n    sys.exit('no')", "5: {} raised SystemExit: no"),
        ("metrics():\n    import pytest\n    pytest.skip('no')", "5: {} raised Skipped: no"),
        ("files():\n    yield 'tiny.py'\n    raise ValueError", "5: {} raised ValueError: no more is said"),
        ("models():\n    return 3", "3: {} returned a int; return a dict"),
        ("models():\n    yield 3", "3: {} returned a list; return a dict"),
        ("files():\n    return 'tiny.py'", "3: {} returned 'tiny.py'; return a list of paths"),
        ("files():\n    return [3]", "3: {} names 3; name paths"),
        ("files():\n    return ['nowhere']", "3: {} names nowhere, and there is no "),
        (f"files():\n    return ['{LONG}']", f"3: {{}} names {LONG}, and: File name too long"),
    ],
)
def test_hooks_that_break(gated, hook, says):
    name = f"pytest_prunecal_{hook.partition('(')[0]}"
    gated.write({"conftest.py": f"def helper():\n    return 1 / 0\ndef pytest_prunecal_{hook}\n"})
    line = refused(gated, "--prunecal-models=vgg19", "--prunecal-ratios=0", "--prunecal-update")
    assert line.startswith(f"conftest.py:{says.format(name)}")
