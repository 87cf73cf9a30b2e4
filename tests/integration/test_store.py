"""The store: whatever becomes of its content, numbers are right; of its disk, and none is lost."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_prunecal.store import checksum
from pytest_prunecal.study import whole_file as atomic

CELL = ("--prunecal-pruners=weight", "--prunecal-ratios=0.5")
KINDS = ("base", "corrupted", "evaluation", "measurement")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Where the first test leaves its measured project for the others."""
    return tmp_path_factory.mktemp("kept") / "project"


@pytest.fixture
def kept(gated, template):
    """A project whose store has all that one cell needs, of every kind."""
    if not template.exists():
        shutil.rmtree(gated.path / ".prunecal")
        assert gated.gate(*CELL).ret == 0
        gated.keep(template)
    shutil.rmtree(gated.path / ".prunecal", ignore_errors=True)
    gated.restore(template)
    return gated


def entries(project, kind):
    return sorted((project.path / ".prunecal" / kind).iterdir())


def sum_of(entry):
    return entry.parents[1] / checksum.place_of(f"{entry.parent.name}/{entry.name}")


def put(path, content):
    """Another file in its place, so that no cache takes it for the same."""
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


def forge(entry, content):
    """Put content into an entry, with a checksum that is right."""
    put(entry, content)
    root, place = entry.parents[1], f"{entry.parent.name}/{entry.name}"
    checksum.seal(root, place, checksum.line(entry, place))


def flip(entry, draw):
    content = bytearray(entry.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    put(entry, bytes(content))


def flip_sum(entry, draw):
    flip(sum_of(entry), draw)


def cut(entry, draw):
    put(entry, entry.read_bytes()[: draw.randrange(entry.stat().st_size)])


def extend(entry, draw):
    put(entry, entry.read_bytes() + draw.randbytes(3))


def drop_sum(entry, _):
    sum_of(entry).unlink()


def swap(entry, draw):
    """Another entry in its place, of the same kind where there is one."""
    others = [path for path in entry.parent.iterdir() if path != entry]
    others = others or [path for path in entry.parents[1].glob("*/*.safetensors") if path != entry]
    other = draw.choice(sorted(others))
    put(entry, other.read_bytes())
    put(sum_of(entry), sum_of(other).read_bytes())


def nonsense(entry, draw):
    forge(entry, draw.randbytes(99))


def nothing(entry, _):
    forge(entry, b"{}" if entry.suffix == ".json" else b"")


def a_folder(entry, _):
    entry.unlink()
    entry.mkdir()
    entry.rmdir()


DAMAGE = (flip, flip_sum, cut, extend, drop_sum, swap, nonsense, nothing, a_folder)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_entry_is_made_anew_to_the_same_numbers(kept, kind, damage):
    expected = kept.gate(*CELL).numbers
    before = {entry: entry.read_bytes() for entry in entries(kept, kind)}
    seed = f"{kind} {damage.__name__}"
    draw = random.Random(seed)  # noqa: S311 - the same in every run
    for entry in before:
        damage(entry, draw)
    if kind != "measurement":
        shutil.rmtree(kept.path / ".prunecal/measurement")
    if kind == "base":
        shutil.rmtree(kept.path / ".prunecal/evaluation")
    outcome = kept.gate(*CELL)
    assert (outcome.ret, outcome.numbers) == (0, expected), outcome.text
    assert "1 cell: 1 identical" in outcome.out
    assert "reused" not in outcome.out
    assert entries(kept, kind) == list(before)
    for entry, content in before.items():
        assert checksum.is_whole(entry.parents[1], f"{kind}/{entry.name}"), seed
        # A measurement says how long it took, and safetensors writes metadata in any order.
        assert kind in ("measurement", "evaluation") or entry.read_bytes() == content
    again = kept.gate(*CELL)
    assert "1 identical; 1 reused" in again.out


def forged_measurement(kept, change):
    (entry,) = entries(kept, "measurement")
    record = json.loads(entry.read_text())
    change(record)
    forge(entry, json.dumps(record).encode())


def out_of_range(record):
    record["measurement"]["metrics"]["accuracy"] = -0.75


def not_finite(record):
    record["measurement"]["uncertainty"]["accuracy"]["se"] = float("nan")


def of_another_seed(record):
    record["measurement"]["provenance"]["seed"] = 2


def of_two_seeds(record):
    record["measurement"]["provenance"]["seeds"] = 2


def of_another_protocol(record):
    record["measurement"]["provenance"]["fingerprint"] = "00000000"


def one_metric_less(record):
    del record["measurement"]["metrics"]["accuracy"], record["measurement"]["by_image"]["metrics"]["accuracy"]


def from_a_base_elsewhere(record):
    record["bases"]["../tiny.py"] = checksum.file_digest(Path("tiny.py"))


def from_another_base(record):
    record["measurement"]["provenance"]["base_entry"] = "../tiny.py"


@pytest.mark.parametrize(
    "change",
    [
        *(out_of_range, not_finite, of_another_seed, of_two_seeds, of_another_protocol),
        *(one_metric_less, from_a_base_elsewhere, from_another_base),
    ],
)
def test_a_forged_measurement_that_can_be_none_is_measured_again(kept, change):
    expected = kept.gate(*CELL).numbers
    forged_measurement(kept, change)
    outcome = kept.gate(*CELL)
    assert (outcome.ret, outcome.numbers) == (0, expected), outcome.text
    assert "reused" not in outcome.out
    assert "1 reused" in kept.gate(*CELL).out


def test_a_store_without_checksums_is_made_anew(kept):
    expected = kept.gate(*CELL).numbers
    shutil.rmtree(kept.path / ".prunecal/checksums")
    outcome = kept.gate(*CELL)
    assert (outcome.ret, outcome.numbers) == (0, expected)
    assert "reused" not in outcome.out


@pytest.mark.parametrize(
    ("store", "says"),
    [
        ("ftp://localhost:1/x", "store ftp://localhost:1/x: cannot be written (Connection refused); "),
        ("zip://x", "store zip://x: cannot be written ("),
        ("data://x", "store data://x: cannot be written (Read only filesystem); "),
        ("http://localhost:1/x", "store http://localhost:1/x: cannot be written ("),
        ("://x", "store ://x: cannot be written (no scheme stands before ://); "),
        ("nosuch://x", "store nosuch://x: cannot be written (Protocol not known: nosuch); "),
        ("ftp:x", "--prunecal-store=ftp:x: write ftp://… for a URL, or ./ftp:… for a folder"),
        ("data:,x", "--prunecal-store=data:,x: write data://… for a URL, or ./data:… for a folder"),
        ("tiny.py", "tiny.py is no folder; name one"),
        ("tiny.py/x", "tiny.py/x: cannot be written (Not a directory); "),
        ("loop", "loop: Too many levels of symbolic links"),
        ("x" * 300, "x: File name too long"),
    ],
    ids=lambda value: value[:20],
)
def test_a_store_that_cannot_be_one_is_refused_before_anything_is_measured(gated, store, says):
    (gated.path / "loop").symlink_to("loop")
    outcome = gated.gate(f"--prunecal-store={store}")
    assert outcome.ret == 4
    (line,) = outcome.err.strip().splitlines()
    assert says in line
    assert line.startswith("ERROR: prunecal: ")
    assert not outcome.watcher.collected


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_colon_in_a_folder_is_none_of_a_url(gated, workers):
    outcome = gated.gate("--prunecal-ratios=0", "--prunecal-store=./a:b", *workers)
    assert outcome.ret == 0, outcome.text
    assert (gated.path / "a:b" / "measurement").is_dir()


FAILING = {
    "full": (28, "No space left on device", "make room there"),
    "read-only": (30, "Read-only file system", "make it writable"),
}


@pytest.mark.parametrize("how", FAILING)
def test_a_disk_that_fails_in_the_middle_loses_no_number(gated, monkeypatch, how):
    """Nothing can be kept any more: not the base network, not the corrupted images, not the numbers."""
    number, reason, advice = FAILING[how]
    expected = gated.gate("--prunecal-pruners=weight", "--prunecal-ratios=0,0.3").numbers
    fsync = os.fsync

    def refuse(file):
        if "other/" in str(Path(f"/proc/self/fd/{file}").readlink()):
            raise OSError(number, reason)
        fsync(file)

    monkeypatch.setattr(atomic.os, "fsync", refuse)
    grid = ("--prunecal-pruners=weight", "--prunecal-ratios=0,0.3")
    outcome = gated.gate(*grid, "--prunecal-store=other")
    assert (outcome.ret, outcome.numbers) == (0, expected), outcome.text
    assert "2 cells: 2 identical" in outcome.out
    told = f"not kept for another run: store {gated.path}/other: cannot be written ({reason}); "
    told += f"numbers measured so far are safe; {advice}, or give another with --prunecal-store"
    assert f"dense: {told}" in outcome.out
    assert f"weight-0.3: {told}" in outcome.out
    assert "Traceback" not in outcome.text
    left = [path for path in (gated.path / "other").rglob("*") if path.is_file()]
    assert {path.suffix for path in left} <= {".lock", ""}


@pytest.fixture
def disk(gated):
    """A small disk of its own for the store."""
    place = gated.path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(place)]
    if not mount or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run([str(shutil.which("umount")), "--lazy", str(place)], check=True)


REMOUNT = """

def pytest_runtest_setup(item):
    import subprocess
    subprocess.run(["mount", "-o", "remount,ro", {disk!r}], check=True)
"""


@pytest.mark.parametrize("how", FAILING)
def test_a_real_disk_that_fails_in_the_middle_loses_no_number(gated, disk, how):
    grid = ("--prunecal-pruners=weight", "--prunecal-ratios=0,0.3")
    expected = gated.gate(*grid).numbers
    if how == "read-only":
        conftest = gated.path / "conftest.py"
        conftest.write_text(conftest.read_text() + REMOUNT.format(disk=str(disk)))
    outcome = gated.gate(*grid, f"--prunecal-store={disk}/store")
    assert (outcome.ret, outcome.numbers) == (0, expected), outcome.text
    assert "2 cells: 2 identical" in outcome.out
    _, reason, advice = FAILING[how]
    told = (
        f"store {disk}/store: cannot be written ({reason}); numbers measured so far are safe; {advice}, or "
    )
    assert f"weight-0.3: not kept for another run: {told}" in outcome.out
    assert "Traceback" not in outcome.text


def test_a_disk_that_can_only_be_read_is_refused_at_once(gated, disk):
    subprocess.run([str(shutil.which("mount")), "-o", "remount,ro", str(disk)], check=True)
    outcome = gated.gate(f"--prunecal-store={disk}/store")
    assert outcome.ret == 4
    assert f"store {disk}/store: cannot be written (Read-only file system); give another" in outcome.err


def test_a_killed_run_leaves_nothing_for_good(kept):
    left = kept.path / ".prunecal/base/.0123.safetensors.4567.partial"
    left.write_text("half")
    assert kept.gate(*CELL, "--prunecal-fresh").ret == 0
    assert not left.exists()
