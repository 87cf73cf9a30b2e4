"""Readers of options: what they make of a text, and the one sentence for what they cannot read."""

from __future__ import annotations

import os
import re

import pytest

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.gate import readers
from pytest_prunecal.gate.readers import Written

NO_UPDATE = (
    "--prunecal-update takes all, missing, failing or nothing, not 'most'; "
    "a path belongs before it, or write --prunecal-update=all"
)
WHOLE = readers.whole(1, 100)


@pytest.fixture
def folder(tmp_path):
    """A folder with a file and a folder in it."""
    (tmp_path / "net.safetensors").touch()
    (tmp_path / "images").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize(
    ("reader", "text", "value"),
    [
        (readers.names, "a,b", ("a", "b")),
        (readers.names, " a , ,b,", ("a", "b")),
        (readers.names, "", ()),
        (readers.ratios, "0.3,.5,0", (0.3, 0.5, 0.0)),
        (readers.update, "missing", "missing"),
        (WHOLE, " 1", 1),
        (WHOLE, "100", 100),
        (readers.yes_or_no, "yes", True),
        (readers.yes_or_no, "True ", True),
        (readers.yes_or_no, "on", True),
        (readers.yes_or_no, "1", True),
        (readers.yes_or_no, "no", False),
        (readers.yes_or_no, "False", False),
        (readers.yes_or_no, "off", False),
        (readers.yes_or_no, "0", False),
        (readers.device, "cuda:11", "cuda:11"),
        (readers.path_or_url, "s3://bucket/store", "s3://bucket/store"),
        (readers.checkpoints, "", {}),
    ],
)
def test_what_is_read(reader, text, value, tmp_path):
    found = reader(Written("name", text, tmp_path))
    assert (type(found), found) == (type(value), value)


def test_paths(folder):
    assert readers.path(Written("name", "a/../b", folder)) == folder / "b"
    assert readers.path(Written("name", "/b", folder)).as_posix() == "/b"
    assert readers.path_or_url(Written("name", "b", folder)) == str(folder / "b")
    assert readers.folder(Written("name", "images", folder)) == folder / "images"
    assert readers.file(Written("name", "new.html", folder)) == folder / "new.html"
    assert readers.checkpoints(Written("name", "resnet20=net.safetensors", folder)) == {
        "resnet20": folder / "net.safetensors"
    }


def test_a_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    elsewhere = folder / "elsewhere"
    assert readers.path(Written("name", "~", elsewhere)) == folder
    assert readers.folder(Written("name", "~/images", elsewhere)) == folder / "images"
    assert readers.file(Written("name", "~/new.html", elsewhere)) == folder / "new.html"
    assert readers.path_or_url(Written("name", "~/x", elsewhere)) == str(folder / "x")
    assert readers.checkpoints(Written("name", "a=~/net.safetensors", elsewhere)) == {
        "a": folder / "net.safetensors"
    }


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a=x,b=y", {"a": "x", "b": "y"}),
        (" a=x , b=y,", {"a": "x", "b": "y"}),
        ("a=x\nb=y", {"a": "x", "b": "y"}),
        ("a=x,y", {"a": "x,y"}),
        ("a=lr=0.1,y", {"a": "lr=0.1,y"}),
        ("a=x,b=z", {"a": "x,b=z"}),  # it is there under this name
        ("package.nets:net=x,b=y", {"package.nets:net": "x", "b": "y"}),
    ],
)
def test_checkpoints_of_several_models(tmp_path, text, names):
    for name in names.values():
        (tmp_path / name).touch()
    assert readers.checkpoints(Written("checkpoint", text, tmp_path)) == {
        model: tmp_path / name for model, name in names.items()
    }


def test_a_symbolic_link_stays_what_people_see(folder):
    (folder / "link").symlink_to(folder / "images")
    assert readers.path(Written("name", "link/x", folder)) == folder / "link" / "x"


@pytest.mark.parametrize(
    ("reader", "name", "text", "says"),
    [
        (readers.ratios, "ratios", " ,", "--prunecal-ratios selects nothing; give ratios such as 0.3,0.5"),
        (readers.ratios, "ratios", "x", "ratio 'x' is not a number; give ratios such as 0.3,0.5"),
        (readers.ratios, "ratios", "0.3,.3", "ratio 0.3 is given twice; name each ratio once"),
        (readers.update, "update", "most", NO_UPDATE),
        *[
            (WHOLE, "seeds", text, f"--prunecal-seeds={text}: give a whole number from 1 to 100")
            for text in ("0", "101", "-1", "1.5", "1e1", "two", "²")
        ],
        *[
            (readers.changed, "changed", text, f"--prunecal-changed={text}: give tell or fail")
            for text in ("", "Fail", "warn", "tell,fail")
        ],
        (readers.changed, "changed", "x" * 5000, f"--prunecal-changed={'x' * 41}…: give tell or fail"),
        (readers.yes_or_no, "fresh", "perhaps", "prunecal_fresh = perhaps: write yes or no"),
        (readers.device, "device", "gpu", "unknown device 'gpu'; use auto, cpu, cuda or cuda:1"),
        (readers.device, "device", "cuda:", "unknown device 'cuda:'; use auto, cpu, cuda or cuda:1"),
        (readers.folder, "data", "nowhere", "--prunecal-data={folder}/nowhere: there is no such folder"),
        (
            readers.folder,
            "data",
            "net.safetensors",
            "--prunecal-data={folder}/net.safetensors: there is no such folder",
        ),
        (readers.file, "json", "images", "--prunecal-json={folder}/images is a folder; name a file"),
        (
            readers.checkpoints,
            "checkpoint",
            "net.safetensors",
            "--prunecal-checkpoint=net.safetensors: write MODEL=FILE, such as resnet20=base.safetensors",
        ),
        (
            readers.checkpoints,
            "checkpoint",
            "a=",
            "--prunecal-checkpoint=a=: write MODEL=FILE, such as resnet20=base.safetensors",
        ),
        (
            readers.checkpoints,
            "checkpoint",
            "a=net.safetensors,a=net.safetensors",
            "--prunecal-checkpoint names 'a' twice; give one file a model",
        ),
        (
            readers.checkpoints,
            "checkpoint",
            "a=images",
            "--prunecal-checkpoint=a=images: {folder}/images is a folder",
        ),
        (
            readers.checkpoints,
            "checkpoint",
            "a=nowhere",
            "--prunecal-checkpoint=a=nowhere: there is no file {folder}/nowhere",
        ),
        (
            readers.checkpoints,
            "checkpoint",
            "a=net.safetensors\na=net.safetensors",
            "--prunecal-checkpoint names 'a' twice; give one file a model",
        ),
        (WHOLE, "seeds", "9" * 5000, f"--prunecal-seeds={'9' * 43}…: give a whole number from 1 to 100"),
        (
            readers.device,
            "device",
            "cuda:99999",
            "unknown device 'cuda:99999'; use auto, cpu, cuda or cuda:1",
        ),
        (
            readers.path,
            "baselines",
            "~nobody-at-all/x",
            (
                "--prunecal-baselines: ~nobody-at-all is nobody's home folder here; "
                "write ./~nobody-at-all for what has that name"
            ),
        ),
        (readers.path, "store", "a\0b", "--prunecal-store: a path cannot hold a NUL character"),
        (
            readers.new_folder,
            "baselines",
            "net.safetensors",
            "--prunecal-baselines={folder}/net.safetensors is no folder; name one",
        ),
        (
            readers.path_or_url,
            "store",
            "net.safetensors",
            "--prunecal-store={folder}/net.safetensors is no folder; name one",
        ),
        *[
            (reader, "data", "loop", "--prunecal-data={folder}/loop: Too many levels of symbolic links")
            for reader in (readers.folder, readers.file, readers.new_folder, readers.path_or_url)
        ],
        (readers.file, "json", "x" * 300, f"--prunecal-json={{folder}}/{'x' * 300}: File name too long"),
        (
            readers.file,
            "json",
            "pipe",
            "--prunecal-json={folder}/pipe is neither a file nor a folder; name a file",
        ),
        (
            readers.checkpoints,
            "checkpoint",
            "a=pipe",
            "--prunecal-checkpoint=a=pipe: {folder}/pipe is neither a file nor a folder",
        ),
    ],
)
def test_what_is_refused(reader, name, text, says, folder):
    with pytest.raises(PrunecalError, match=f"^{re.escape(says.format(folder=folder))}$"):
        reader(Written(name, text, folder))


def test_a_protocol_is_read_where_more_is_known(tmp_path):
    written = Written("protocol", "tiny.yaml", tmp_path, given=True)
    assert readers.as_written(written) is written
    assert str(written) == "--prunecal-protocol=tiny.yaml"
