"""Files beside a baseline: an update removes those that it replaces, and nothing that somebody else needs."""

from __future__ import annotations

import hashlib

import pytest


def files(project):
    return {path.name for path in project.baseline.parent.iterdir()}


def changed(project):
    """An update then has something to write."""
    project.edit("weight-0.5:\n    accuracy: {mean: ", "weight-0.5:\n    accuracy: {mean: 9")


def named_as_images(project, name, content):
    digest = hashlib.sha256(content).hexdigest()
    text = project.baseline.read_text()
    line = next(line for line in text.splitlines() if line.startswith("images:"))
    project.baseline.write_text(text.replace(line, f"images: {{file: {name}, sha256: {digest}}}"))


@pytest.mark.parametrize("name", ["tinynet.yaml", "notes.txt", "other.yaml", "tinynet-images-00000000.zip"])
def test_a_file_that_is_only_named_stays(gated, name):
    place = gated.baseline.with_name(name)
    if place != gated.baseline:
        place.write_text("a user's own\n")
    named_as_images(gated, name, b"a user's own\n")
    changed(gated)
    content = place.read_bytes()
    outcome = gated.gate("--prunecal-update")
    assert outcome.ret == 0
    assert place.exists()
    if place != gated.baseline:
        assert place.read_bytes() == content


def test_the_files_of_a_copied_baseline_stay(gated):
    assert gated.gate("--prunecal-update", "--prunecal-pin").ret == 0
    original = files(gated)
    copy = gated.baseline.with_name("tinynet2.yaml")
    copy.write_text(gated.baseline.read_text().replace("model: tinynet", "model: tinynet2"))
    gated.edit('{"tinynet": "tiny:tiny"}', '{"tinynet": "tiny:tiny", "tinynet2": "tiny:tiny"}', "conftest.py")
    outcome = gated.run(
        "--prunecal-models=tinynet2", "--prunecal-update", "--prunecal-pin", "--prunecal-fresh"
    )
    assert outcome.ret == 0
    assert original < files(gated)
    assert "7 cells: 7 identical" in gated.gate().out


def test_what_a_killed_update_left_is_cleaned_by_the_next(gated):
    kept = files(gated)
    content = b"of an update that was killed before it wrote the baseline"
    digest = hashlib.sha256(content).hexdigest()[:8]
    for name in (f"tinynet-images-{digest}.zip", f"tinynet-plain-{digest}.safetensors"):
        gated.baseline.with_name(name).write_bytes(content)
    for name in (
        ".tinynet.yaml.0011aabb.partial",
        ".tinynet-images-00112233.zip.0011aabb.partial",
        ".tinynet.yaml.lock",
    ):
        gated.baseline.with_name(name).touch()
    outcome = gated.gate("--prunecal-update")
    assert "already says all of it" in outcome.out
    assert files(gated) == kept


def test_a_link_in_place_of_a_side_file_is_replaced_and_not_followed(gated):
    (name,) = (name for name in files(gated) if name.endswith(".zip"))
    place, outside = gated.baseline.with_name(name), gated.path / "outside"
    content = place.read_bytes()
    place.unlink()
    outside.write_bytes(b"precious")
    place.symlink_to(outside)
    gated.baseline.write_text("".join(gated.baseline.read_text().splitlines(keepends=True)))
    assert gated.gate("--prunecal-update").ret == 0
    assert outside.read_bytes() == b"precious"
    found = gated.baseline.with_name(name)
    assert (found.is_symlink(), found.read_bytes()) == (False, content)
