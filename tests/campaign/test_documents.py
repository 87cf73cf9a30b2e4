"""Baselines, protocols and data files that are wrong in any way: one sentence each, or they are read."""

from __future__ import annotations

import hashlib
import io
import re
import signal
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

import mutate
import numpy as np
import pytest
import yaml
from children import raw, run
from place import FILE, PROTOCOL, TWO_CELLS, Places, ini, numbers

from pytest_prunecal.baseline import file as baseline
from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study import protocol_file

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from counts import Family, Opener

pytestmark = pytest.mark.slow

SECONDS = 20
"""After which a reader must be hanging: these documents have two kilobytes."""

BASELINE = """\
# A comment.
prunecal: 1
model: tinynet
protocol: {name: tiny, fingerprint: 1a2b3c4d}
environment: {torch: 2.11.0, device: cpu, threads: 1, corruptions: generated}
base:
  plain: {file: tinynet-plain-0123abcd.safetensors, sha256: 0123abcd, recipe: 89abcdef}
images: {file: tinynet-images-4567abcd.zip, sha256: 4567abcd}
tolerance:
  mpc: {abs: 0.07} # agreed
cells:
  dense:
    note: as good as it gets
    accuracy: {mean: 0.9000, se: 0.0043}
    parameters: 1250
  weight-0.5:
    known: {reason: a fault of the pruner, until: 2027-01-31}
    tolerance: {ece: auto, accuracy: {rel: 0.5}}
    accuracy: {mean: 0.8000, se: 0.0043, sd: 0.003, seeds: 3}
    ece: 0.1
"""
OWN_DATA = PROTOCOL.replace("{name: digits, size: 8, train: 150, test: 60}", "{name: arrays, path: data.npz}")
READERS = "baselines", "protocols"


@contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """Interrupt what takes so long."""

    def ring(_: int, __: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def said(read: Callable[[], object]) -> list[tuple[str, str]]:
    """What is wrong with how a reader takes a document: it gives something, or says one sentence."""
    try:
        with alarm(SECONDS):
            read()
    except TimeoutError:
        return [("hang", f"longer than {SECONDS} s")]
    except PrunecalError as error:
        if "\n" in str(error) or raw(str(error)):
            return [("other", f"no single line of plain text: {str(error)!r}")]
    except Exception:  # noqa: BLE001 - any other is what is looked for
        return [("traceback", traceback.format_exc())]
    return []


def read_all(row: Family, places: Places, total: int, part: int, parts: int) -> None:
    """Read spoilt documents of one kind in this process."""
    folder = places.root / "documents"
    folder.mkdir(exist_ok=True)
    for number in row.numbers(total, part, parts):
        draw = row.random(number)
        path = folder / "spoilt.yaml"
        if row.name.endswith("baselines"):
            spoilt = mutate.document(BASELINE, draw)
            path.write_text(spoilt, encoding="utf-8", errors="replace", newline="")
            faults = said(lambda path=path: baseline.read(path, "spoilt.yaml"))  # type: ignore[misc]
        else:
            spoilt = mutate.document(PROTOCOL, draw)
            path.write_text(spoilt, encoding="utf-8", errors="replace", newline="")
            faults = said(lambda: protocol_file.load("spoilt.yaml", folder))
        row.found(number, [(column, f"{spoilt}\n{what}") for column, what in faults])


@pytest.mark.parametrize("part", range(2))
def test_baselines_are_read_or_refused(part: int, places: Places, family: Opener) -> None:
    with family("documents: baselines") as row:
        read_all(row, places, 18_000, part, 2)


def test_protocols_are_read_or_refused(places: Places, family: Opener) -> None:
    with family("documents: protocols") as row:
        read_all(row, places, 2_000, 0, 1)


def test_whole_runs_of_spoilt_documents(places: Places, family: Opener) -> None:
    """Compared with, accepted over: exit 0, 1 or 4, and never less readable than before."""
    with family("documents: whole runs") as row:
        origin = places.accepted()
        for number in row.numbers(150):
            draw = row.random(number)
            folder = places.copy(origin, f"document-{number}")
            name = draw.choice((FILE, FILE, FILE, "tiny.yaml"))
            spoilt = mutate.document((folder / name).read_text(), draw)
            (folder / name).write_text(spoilt, encoding="utf-8", errors="replace", newline="")
            whole = name == FILE and not said(lambda folder=folder: baseline.read(folder / FILE, FILE))  # type: ignore[misc]
            before = numbers_or_none(folder)
            options = draw.choice(
                ([], TWO_CELLS, ["--prunecal-update"], [*TWO_CELLS, "--prunecal-update=failing"])
            )
            if name == "tiny.yaml":  # another protocol measures anew, for as long as it says
                options = ["--collect-only"]
            ended = run(folder, *options)
            faults = ended.faults(0, 1, 4, 5, plain=True)
            if whole and before is not None and numbers_or_none(folder) is None:
                faults.append(("torn", "the baseline could be read before the update and cannot be now"))
            row.found(number, [(column, f"{options}\n{spoilt}\n{what}") for column, what in faults])
            places.drop(folder)


def numbers_or_none(folder: Path) -> object:
    """What a project accepts; None if its baseline cannot be read."""
    try:
        return numbers(folder)
    except PrunecalError:
        return None


def test_spoilt_networks(places: Places, family: Opener) -> None:
    """Pinned beside a baseline that names their digest, or given as a checkpoint."""
    with family("documents: safetensors") as row:
        origin = places.accepted("--prunecal-pin")
        for number in row.numbers(100):
            draw = row.random(number)
            folder = places.copy(origin, f"network-{number}")
            named = yaml.safe_load((folder / FILE).read_text())["base"]["plain"]
            pinned = (folder / FILE).with_name(named["file"])
            source = pinned.read_bytes()
            length = int.from_bytes(source[:8], "little")
            head, body = source[8 : 8 + length], source[8 + length :]
            if draw.random() < 0.5:
                head = mutate.record(head, draw)
                spoilt = len(head).to_bytes(8, "little") + head + body
            else:
                spoilt = mutate.content(source, draw)
            options = ["--prunecal-ratios=0"]
            if draw.random() < 0.5:
                (folder / "given.safetensors").write_bytes(spoilt)
                options.append("--prunecal-checkpoint=tinynet=given.safetensors")
            else:
                pinned.write_bytes(spoilt)
                if draw.random() < 0.9:
                    renamed(folder, named["sha256"], spoilt)
            row.found(number, run(folder, *options).faults(0, 1, 4, plain=True))
            places.drop(folder)


def renamed(folder: Path, sha256: str, content: bytes) -> None:
    """Have the baseline name the digest that a file has now."""
    path = folder / FILE
    path.write_text(path.read_text().replace(sha256, hashlib.sha256(content).hexdigest()))


def arrays(draw: np.random.Generator) -> bytes:
    """A data set of a user's own."""
    buffer = io.BytesIO()
    images = {
        f"x_{part}": draw.integers(0, 256, (count, 8, 8, 3), np.uint8)
        for part, count in (("train", 32), ("test", 20))
    }
    labels = {f"y_{part}": np.arange(count) % 4 for part, count in (("train", 32), ("test", 20))}
    np.savez(buffer, **images, **labels)  # type: ignore[arg-type] # arrays by name
    return buffer.getvalue()


def test_spoilt_data(places: Places, family: Opener) -> None:
    """A data set of a user's own, spoilt: it is one sentence, or it is measured."""
    with family("documents: npz") as row:
        source = arrays(np.random.default_rng(0))
        for number in row.numbers(80):
            draw = row.random(number)
            folder = places.copy(places.empty, f"data-{number}")
            (folder / "tiny.yaml").write_text(re.sub(r"epochs: \d+", "epochs: 1", OWN_DATA))
            ini(folder, folder / "store")  # another data set each time: nothing is worth keeping
            (folder / "data.npz").write_bytes(spoilt_arrays(source, draw))
            ended = run(folder, "--prunecal-ratios=0", "--prunecal-update")
            row.found(number, ended.faults(0, 1, 4, plain=True))
            places.drop(folder)


def spoilt_arrays(source: bytes, draw: random.Random) -> bytes:
    """Spoil the archive, or one of its arrays."""
    if draw.random() < 0.4:
        return mutate.content(source, draw)

    def change(entries: dict[str, bytes]) -> None:
        name = draw.choice([*entries])
        how = draw.randrange(4)
        if how == 0:
            entries[name] = mutate.content(entries[name], draw, other=entries[draw.choice([*entries])])
        elif how == 1:
            del entries[name]
        else:
            header = bytearray(entries[name][:128])
            old, new = draw.choice(HEADERS)
            entries[name] = bytes(header).replace(old, new) + entries[name][128:]

    return mutate.archive(source, change)


HEADERS = (
    (b"'|u1'", b"'|O' "),
    (b"'|u1'", b"'|i1'"),
    (b"'<i8'", b"'<f8'"),
    (b"'<i8'", b"'>i8'"),
    (b"'<i8'", b"'|O' "),
    (b"False", b"True "),
    (b"(32,)", b"(31,)"),
    (b"(20,)", b"(-1,)"),
    (b"(32, 8", b"(99, 8"),
    (b"(20, 8", b"(0, 88"),
    (b"8, 8, 3", b"8, 24  "),
    (b"shape", b"shap "),
)
"""Of numpy's arrays: other types, orders, shapes."""
