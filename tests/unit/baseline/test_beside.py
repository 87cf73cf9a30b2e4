"""What lies beside a baseline: written under its own name, and nothing else is ever removed."""

from __future__ import annotations

import hashlib

import pytest

from pytest_prunecal.baseline import beside


@pytest.fixture
def baseline(tmp_path):
    path = tmp_path / "net.yaml"
    path.write_text("images: {}\n")
    return path


def files(baseline):
    return {path.name for path in baseline.parent.iterdir()}


def test_a_name_says_whose_it_is_and_which(baseline):
    sha256 = hashlib.sha256(b"content").hexdigest()
    name = f"net-images-{sha256[:8]}.zip"
    assert beside.write(baseline, "images", b"content") == (name, sha256)
    assert baseline.with_name(name).read_bytes() == b"content"
    assert beside.write(baseline, "plain", b"x")[0].endswith(".safetensors")


def test_what_is_there_stays_and_what_is_damaged_is_written_anew(baseline):
    name, _ = beside.write(baseline, "images", b"content")
    place = baseline.with_name(name)
    written = place.stat().st_ino
    beside.write(baseline, "images", b"content")
    assert place.stat().st_ino == written
    place.write_bytes(b"damaged")
    beside.write(baseline, "images", b"content")
    assert place.read_bytes() == b"content"


def test_what_no_baseline_names_goes(baseline):
    old, _ = beside.write(baseline, "images", b"old")
    pinned, _ = beside.write(baseline, "slimmed", b"network")
    kept, _ = beside.write(baseline, "images", b"new")
    baseline.write_text(f"images: {{file: {kept}}}\nbase: {{plain: {{file: {pinned}}}}}\n")
    beside.clean(baseline, locked=True)
    assert files(baseline) == {"net.yaml", kept, pinned}
    assert old != kept


@pytest.mark.parametrize("other", ["other.yaml", "other.YML", ".hidden.yaml"])
def test_what_another_baseline_names_stays(baseline, other):
    name, _ = beside.write(baseline, "images", b"old")
    baseline.with_name(other).write_text(f"images: {{file: {name}}}\n")
    beside.clean(baseline, locked=True)
    assert name in files(baseline)


def test_what_cannot_be_read_may_name_it(baseline):
    name, _ = beside.write(baseline, "images", b"old")
    baseline.with_name("folder.yaml").mkdir()
    beside.clean(baseline, locked=True)
    assert name in files(baseline)


def test_only_its_own_files_go(baseline):
    others = {
        "net-images-00000000.zip": "of another content than the name says",
        "net2-images-{}.zip": "of another model",
        "net-images-{}.zip.bak": "somebody's copy",
        "net-notes-{}.zip": "no kind of ours",
        "base.safetensors": "a user's own",
    }
    for name, content in others.items():
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        baseline.with_name(name.format(digest)).write_text(content)
    content = hashlib.sha256(b"linked").hexdigest()[:8]
    baseline.with_name("target").write_bytes(b"linked")
    baseline.with_name(f"net-images-{content}.zip").symlink_to("target")
    before = files(baseline)
    beside.clean(baseline, locked=True)
    assert files(baseline) == before


def test_passing_files_of_a_killed_update_go(baseline):
    left = [".net.yaml.0123abcd.partial", ".net-images-01234567.zip.0123abcd.partial"]
    others = [".net2.yaml.0123abcd.partial", ".net-images-01234567.zip.txt"]
    for name in (*left, *others):
        baseline.with_name(name).touch()
    beside.clean(baseline, locked=True)
    assert files(baseline) == {"net.yaml", *others}
