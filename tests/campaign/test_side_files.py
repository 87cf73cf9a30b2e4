"""Forged results by image, their digest put right: no verdict gets milder than the baseline alone has it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import mutate
import pytest
import yaml
from children import run
from place import FILE, TWO_CELLS, Places

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from counts import Opener

pytestmark = pytest.mark.slow

BETTER = {"accuracy": 1.0, "ece": 0.0, "nll": 0.01, "brier": 0.0, "mpc": 1.0, "rpc": 1.0}
"""Accepted numbers that the measured ones are far from: a gross regression."""

GRID = (*TWO_CELLS, "--prunecal-json=run.json")
GRAVITY = ("ok", "improvement", "changed", "regression", "missing", "incomparable")
PARTS = 4
SEEDS = 3


@pytest.mark.parametrize("part", range(PARTS))
def test_forged_results_by_image(part: int, places: Places, family: Opener) -> None:
    with family("side files") as row:
        origin, alone = regressed(places)
        for number in row.numbers(2_000, part, PARTS):
            draw = row.random(number)
            folder = places.copy(origin, f"forged-{number}")
            what = forge(folder, draw, alone)
            ended = run(folder, *GRID)
            faults = (
                ended.faults(1, 4, plain=True) if ended.code != 0 else [("milder", f"exit 0\n{ended.text}")]
            )
            if ended.code == 1 and not any(name == "traceback" for name, _ in faults):
                faults += milder(alone, statuses(folder))
            row.found(number, [(column, f"{what}\n{text}") for column, text in faults])
            places.drop(folder)


def regressed(places: Places) -> tuple[Path, dict[str, Any]]:
    """A project that got much worse than its baseline says; what the baseline says without a side file."""
    origin = places.root / "regressed"
    kept = origin.with_suffix(".json")
    if not kept.exists():
        draft = places.copy(places.accepted(f"--prunecal-seeds={SEEDS}", *TWO_CELLS), "regressed")
        (draft / FILE).write_text(shifted((draft / FILE).read_text()))
        bare = places.copy(draft, "bare")
        (bare / FILE).write_text(re.sub(r"images: .*\n", "", (bare / FILE).read_text()))
        for _ in range(2):
            ended = run(bare, *GRID)
        assert ended.code == 1, ended.text
        shutil.move(draft, origin)
        kept.write_text(json.dumps(statuses(bare)))
    alone: dict[str, Any] = json.loads(kept.read_text())
    assert sum(row["status"] == "regression" for row in alone.values()) >= 6, alone
    return origin, alone


def shifted(text: str) -> str:
    """Accept better numbers, and be sure of them: so few images and seeds would hide any change."""

    def better(found: re.Match[str]) -> str:
        value = f"{BETTER[found[1]]:.4f}"
        return f"    {found[1]}: {{mean: {value}, se: 0.0010, sd: 0, seeds: {SEEDS}, first: {value}}}"

    return re.sub(rf"    ({'|'.join(BETTER)}): {{mean: .*}}", better, text)


def statuses(folder: Path) -> dict[str, Any]:
    """Of each metric of each cell and of all cells together: what is said of it, and what was measured."""
    (model,) = json.loads((folder / "run.json").read_text())["models"]
    return {
        f"{cell['id']} {name}": {
            "status": row["status"],
            "measured": row["measured"],
            "bound": row["allowed"],
        }
        for cell in model["cells"]
        for name, row in cell["metrics"].items()
    }


def milder(alone: dict[str, Any], found: dict[str, Any]) -> list[tuple[str, str]]:
    """What is judged more mildly than by the baseline alone; a cell that ended in an error is not judged."""
    rows = [
        f"{key}: {row['status']} became {found[key]['status']}"
        for key, row in alone.items()
        if key in found and row["status"] == "regression"
        if GRAVITY.index(found[key]["status"]) < GRAVITY.index(row["status"])
    ]
    return [("milder", "\n".join(rows))] if rows else []


def forge(folder: Path, draw: random.Random, alone: dict[str, Any]) -> str:
    """Write results by image that speak for the regressed network, and have the baseline name them."""
    path = folder / FILE
    document = yaml.safe_load(path.read_text())
    side = path.with_name(document["images"]["file"])
    source = side.read_bytes()
    done: list[str] = []
    if draw.random() < 0.15:
        forged = mutate.content(source, draw)
        done.append("bytes")
    else:
        forged = mutate.archive(source, lambda entries: _forge(entries, document, alone, draw, done))
    side.write_bytes(forged)
    digest = hashlib.sha256(forged).hexdigest()
    path.write_text(path.read_text().replace(document["images"]["sha256"], digest))
    return ", ".join(done)


def _forge(
    entries: dict[str, bytes],
    document: dict[str, Any],
    alone: dict[str, Any],
    draw: random.Random,
    done: list[str],
) -> None:
    index = json.loads(entries["index.json"])
    if draw.random() < 0.9:
        done.append("accepted numbers")
        for cell_id, cell in index["cells"].items():
            accepted = means(document["cells"][cell_id])
            cell["metrics"] |= accepted
            cell["each"] |= {name: [value] * SEEDS for name, value in accepted.items()}
    for _ in range(draw.choice((1, 1, 2, 3, 5))):
        forger = draw.choice(FORGERS)
        done.append(forger.__name__)
        with suppress(KeyError, TypeError, ValueError, AttributeError):  # an earlier forger left it nothing
            forger(index, entries, alone, draw)
    entries["index.json"] = json.dumps(index).encode()


def means(cell: dict[str, Any]) -> dict[str, float]:
    """A cell's accepted numbers."""
    found = {}
    for name, value in cell.items():
        if isinstance(value, dict) and "mean" in value:
            found[name] = value["mean"]
        elif isinstance(value, (int, float)):
            found[name] = value
    return found


def first_is_measured(index: Any, _: dict[str, bytes], alone: dict[str, Any], __: random.Random) -> None:  # noqa: ANN401
    for key, row in alone.items():
        cell_id, name = key.split()
        index["cells"][cell_id]["each"][name][0] = row["measured"]


def first_is_nothing(index: Any, _: dict[str, bytes], __: dict[str, Any], ___: random.Random) -> None:  # noqa: ANN401
    for cell in index["cells"].values():
        cell["each"] = {}


def odd_numbers(index: Any, _: dict[str, bytes], __: dict[str, Any], draw: random.Random) -> None:  # noqa: ANN401
    field = draw.choice(("metrics", "each", "change_sd", "base_metrics"))
    owners = (
        index["bases"]
        if field == "base_metrics"
        else {key: cell[field] for key, cell in index["cells"].items()}
    )
    value = draw.choice(
        (float("nan"), float("inf"), -float("inf"), 1e300, -1.0, 1e9, 0.0, "0.5", None, True, 10**400)
    )
    names = draw.choice((["accuracy"], list(BETTER), ["nonsense"]))
    for owner in owners.values():
        owner.update(dict.fromkeys(names, [value] if field == "each" else value))


def wide_spread(index: Any, _: dict[str, bytes], __: dict[str, Any], draw: random.Random) -> None:  # noqa: ANN401
    for cell in index["cells"].values():
        cell["change_sd"] = dict.fromkeys(cell["metrics"], draw.choice((0.5, 10.0, 1e6)))
        cell["seeds"] = draw.choice((2, 3, 1000, 10**9, -1, 0, 1, 1.5, "2"))


def other_base(index: Any, entries: dict[str, bytes], __: dict[str, Any], draw: random.Random) -> None:  # noqa: ANN401
    name = draw.choice(("0" * 64, "", "../x", "a\nb"))
    for base in [*index["bases"]]:
        index["bases"][name] = index["bases"].pop(base)
        if f"bases/{base}" in entries:
            entries[f"bases/{name}"] = entries.pop(f"bases/{base}")
    for cell in index["cells"].values():
        cell["base"] = name


def worse_base(index: Any, _: dict[str, bytes], __: dict[str, Any], draw: random.Random) -> None:  # noqa: ANN401
    for metrics in index["bases"].values():
        for name in metrics:
            # Another forger may have left a whole number that no float holds.
            metrics[name] = draw.choice((-0.5, 0.5, 2.0)) + min(metrics[name], 1)


def loud_columns(_: Any, entries: dict[str, bytes], __: dict[str, Any], draw: random.Random) -> None:  # noqa: ANN401
    how = draw.choice(("noise", "huge", "nan", "inf", "shuffled", "zero"))
    for name in [*entries]:
        if name.startswith(("cells/", "bases/")) and draw.random() < 0.8:
            entries[name] = column(entries[name], how, draw)


def column(source: bytes, how: str, draw: random.Random) -> bytes:
    """As many numbers as another column has."""
    if how == "shuffled":
        return bytes(draw.sample(source, len(source)))
    if how == "noise":
        return draw.randbytes(len(source))
    high, low = struct.pack(">H", {"huge": 0x7B00, "nan": 0x7E00, "inf": 0x7C00, "zero": 0}[how])
    half = len(source) // 2
    return bytes([high]) * half + bytes([low]) * (len(source) - half)


def other_length(_: Any, entries: dict[str, bytes], __: dict[str, Any], draw: random.Random) -> None:  # noqa: ANN401
    times = draw.choice((0.0, 0.5, 2.0, 100.0))
    for name in [*entries]:
        if name != "index.json":
            source = entries[name]
            entries[name] = (source * 100)[: int(len(source) * times)]


def other_columns(index: Any, _: dict[str, bytes], __: dict[str, Any], draw: random.Random) -> None:  # noqa: ANN401
    names = index["columns"]
    how = draw.randrange(5)
    if how == 0:
        draw.shuffle(names)
    elif how == 1:
        names[:] = names[1:]
    elif how == 2 and names:
        index["columns"] = [names[0]] * len(names)
    elif how == 3:
        index["columns"] = draw.choice(([], {}, None, "accuracy", [1], ["\x1b[31m"]))
    else:
        index["base_columns"] = dict.fromkeys(index["bases"], names[::-1])


def anything(index: Any, _: dict[str, bytes], __: dict[str, Any], draw: random.Random) -> None:  # noqa: ANN401
    spoilt = mutate.tree(index, draw)
    if isinstance(spoilt, dict):
        index.clear()
        index.update(spoilt)


def entries_gone(_: Any, entries: dict[str, bytes], __: dict[str, Any], draw: random.Random) -> None:  # noqa: ANN401
    for name in [*entries]:
        if name != "index.json" and draw.random() < 0.5:
            del entries[name]


def cells_swapped(index: Any, entries: dict[str, bytes], __: dict[str, Any], ___: random.Random) -> None:  # noqa: ANN401
    cells = sorted(index["cells"])
    for first, second in pairwise(cells):
        index["cells"][first], index["cells"][second] = index["cells"][second], index["cells"][first]
        one, two = f"cells/{first}", f"cells/{second}"
        if one in entries and two in entries:
            entries[one], entries[two] = entries[two], entries[one]


FORGERS = (
    *(first_is_measured, first_is_measured, first_is_nothing, odd_numbers, odd_numbers, wide_spread),
    other_base,
    *(worse_base, loud_columns, loud_columns, other_length, other_columns, anything, entries_gone),
    *(cells_swapped,),
)
