"""Damaged entries of the store: whatever became of one, the numbers and the verdicts are the same."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import mutate
import pytest
from children import run
from place import TWO_CELLS, Places, ini

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from counts import Opener

pytestmark = pytest.mark.slow

JSON = "--prunecal-json=run.json"
PARTS = 3


@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_entries(part: int, places: Places, family: Opener) -> None:
    with family("store entries") as row:
        origin, healthy = warm(places)
        for number in row.numbers(500, part, PARTS):
            draw = row.random(number)
            folder = places.copy(origin, f"store-{number}")
            damaged, how = damage(folder / "store", draw)
            ended = run(folder, *TWO_CELLS, JSON)
            faults = ended.faults(healthy["code"])
            if not faults and (found := told(folder)) != healthy["told"]:
                faults = [("other", differences(healthy["told"], found))]
            row.found(number, [(column, f"{damaged} {how}\n{what}") for column, what in faults])
            places.drop(folder)


def warm(places: Places) -> tuple[Path, dict[str, Any]]:
    """A project with a store of its own that knows all, compared with numbers of two seeds; what it says."""
    origin = places.root / "warm"
    kept = origin.with_suffix(".json")
    if not kept.exists():
        shutil.copytree(places.accepted("--prunecal-seeds=2", *TWO_CELLS), origin)
        ini(origin, "store")
        for _ in range(2):
            ended = run(origin, *TWO_CELLS, JSON)
        assert ended.code in (0, 1), ended.text
        kept.write_text(json.dumps({"code": ended.code, "told": told(origin)}))
        shutil.rmtree(origin / "store" / "locks")
    healthy: dict[str, Any] = json.loads(kept.read_text())
    return origin, healthy


def told(folder: Path) -> dict[str, Any]:
    """What a run says of each metric of each cell."""
    (model,) = json.loads((folder / "run.json").read_text())["models"]
    keys = ("status", "measured", "baseline", "allowed")
    return {
        f"{cell['id']} {name}": {key: row.get(key) for key in keys}
        for cell in model["cells"]
        for name, row in cell["metrics"].items()
    }


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> str:
    """Which metrics are told otherwise."""
    return "\n".join(
        f"{key}: {wanted.get(key)} became {found.get(key)}"
        for key in sorted({*wanted, *found})
        if wanted.get(key) != found.get(key)
    )


def damage(store: Path, draw: random.Random) -> tuple[str, str]:
    """Damage an entry; forget some of those that would hide it."""
    files = sorted(path for path in store.rglob("*") if path.is_file() and path.name != ".gitignore")
    kind = draw.choice(sorted({path.parent for path in files if path.parent.name != "locks"}))
    entries = [path for path in files if path.parent == kind]
    entry = draw.choice(entries)
    others = [path for path in entries if path != entry and path.suffix == entry.suffix]
    source = entry.read_bytes()
    how = draw.choice(("bytes", "bytes", "another's", "record", "folder", "link"))
    os.unlink(entry)  # noqa: PTH108 - not through a link
    if how == "another's" and others:
        entry.write_bytes(draw.choice(others).read_bytes())
    elif how == "record" and entry.suffix == ".json" and "checksums" not in entry.parts:
        entry.write_bytes(mutate.record(source, draw))
    elif how == "folder" and draw.random() < 0.2:
        entry.mkdir()
    elif how == "link" and draw.random() < 0.3:
        entry.symlink_to("nowhere")
    else:
        how = "bytes"
        entry.write_bytes(mutate.content(source, draw))
    forgotten = {"measurement", "pairing", *(["evaluation"] if draw.random() < 0.5 else [])} - {kind.name}
    if draw.random() < 0.6:
        for name in forgotten:
            shutil.rmtree(store / name, ignore_errors=True)
        how += f", {', '.join(sorted(forgotten))} forgotten"
    return entry.relative_to(store).as_posix(), how
