"""Checksums: an entry counts only if it is byte for byte what was kept under its name."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prunecal.store import checksum

PLACE = "base/key.bin"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A store with one entry of each of two kinds."""
    root = tmp_path_factory.mktemp("store")
    for place in (PLACE, "base/other.bin", "pairing/key.bin"):
        (root / place).parent.mkdir(exist_ok=True)
        keep(root, place, place.encode() * 5)
    return root


def keep(root, place, content):
    (root / place).write_bytes(content)
    checksum.seal(root, place, checksum.line(root / place, place))


def replaced(path, content):
    """Another file in its place, so that no cache of its digest takes it for the same."""
    path.with_name("other").write_bytes(content)
    path.with_name("other").replace(path)


def test_it_is_whole_as_it_was_kept(root):
    assert checksum.is_whole(root, PLACE)
    assert not checksum.is_whole(root, "base/none.bin")


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="there is no sha256sum here")
def test_anybody_can_check_a_store(root):
    command = [shutil.which("sha256sum"), "--check", checksum.place_of(PLACE)]
    subprocess.run(command, cwd=root, check=True)


DAMAGE = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, 10**6)),
    st.tuples(st.just("cut"), st.integers(0, 10**6)),
    st.tuples(st.just("extend"), st.binary(min_size=1, max_size=9)),
    st.tuples(st.just("write"), st.binary(max_size=99)),
)


def damaged(content, damage):
    kind, by = damage
    if kind == "flip":
        bit = by % (8 * len(content))
        return content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :]
    if kind == "cut":
        return content[: by % len(content)]
    return content + by if kind == "extend" else by


@given(DAMAGE, st.booleans())
def test_any_damage_to_either_file_is_noticed(root, damage, of_entry):
    path = root / (PLACE if of_entry else checksum.place_of(PLACE))
    content = path.read_bytes()
    after = damaged(content, damage)
    replaced(path, after)
    assert checksum.is_whole(root, PLACE) == (after == content)
    replaced(path, content)
    assert checksum.is_whole(root, PLACE)


@pytest.mark.parametrize("other", ["base/other.bin", "pairing/key.bin"])
@pytest.mark.parametrize("both", [False, True])
def test_another_entry_in_its_place_is_noticed(root, other, both, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    shutil.copy(copy / other, copy / PLACE)
    if both:
        shutil.copy(copy / checksum.place_of(other), copy / checksum.place_of(PLACE))
    assert not checksum.is_whole(copy, PLACE)


@pytest.mark.parametrize("which", [PLACE, checksum.place_of(PLACE)])
def test_what_is_no_file_is_no_entry(root, which, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    (copy / which).unlink()
    assert not checksum.is_whole(copy, PLACE)
    (copy / which).mkdir()
    assert not checksum.is_whole(copy, PLACE)
    (copy / which).rmdir()
    (copy / which).symlink_to(copy / which)
    assert not checksum.is_whole(copy, PLACE)
