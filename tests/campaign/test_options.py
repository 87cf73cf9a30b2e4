"""Any value of any option, any path: pytest's exit codes and one sentence, never more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import mutate
import pytest
from children import run
from place import FILE, Places

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from counts import Opener

pytestmark = pytest.mark.slow

PATHS = (  # none outside the project that root could write to: what is asked for is done
    *("", ".", "~", "~/x", "~no-such-user/x", "x/../y", "a b", " ", "é\u0301", "x" * 300),
    *("x/" * 2100 + "x",),
    *("a,b", "a=b", "-x", "--", "x\ny", "x\ty", "\x1b[31m", "\u202ex", "%s", "{x}", "$HOME", "*"),
    *("[a]", "'", '"', "a:b"),
    *("file", "folder", "loop", "dangling", "fifo", "sealed/x", "file/x", "loop/x", "folder/", "link"),
    *("/dev/null/x", "/proc/x", "/sys/x", "\udcff", "con"),
    "tiny.yaml",
    *("baselines", FILE, "baselines/tiny", "conftest.py", "empty.yaml", "deep.yaml"),
)
URLS = (  # none that leaves the machine
    *("file://", "file://x", "file:///proc/x", "ftp://127.0.0.1:1/x", "http://127.0.0.1:1/x"),
    *("zip://x", "zip://file", "data:,x", "data://x", "memory://x", "://", "x://y"),
    *("simplecache::file://x", "tar://x"),
    *("local://x", "dir://x", "reference://x", "blockcache::zip://x::file://y", "sftp://127.0.0.1:1/x"),
)
NUMBERS = (
    *("0", "1", "2", "3", "-1", "1.5", "1e3", "nan", "inf", "-inf", "9" * 5000, "0x1", "1_0", "٣", "²"),
    *("1,1", ",", "", " 2 "),
    *("0,0.5", "0.5,0.50", "1e-400", "0.9999999999999999999", "0.3;0.5", "0.1," * 3, "00.5", "+0.5"),
    *("-0", "1e-5"),
)
NAMES = (
    *("tinynet", "tinynet,tinynet", "", ",", "x", "tiny:tiny", "tiny:nothing", "tiny:", ":tiny"),
    *("tiny", "os:system"),
    *("nothing:x", "tiny:Mean", "tiny:nn", "tiny.tiny:x", "..:x", "a:b:c", "weight", "weight,weight"),
    *("dense", "int8"),
    *("conftest:pytest_prunecal_models", "sys:exit", "x" * 5000, "\x1b[31m", "a\nb", "json:loads"),
    *("é:é", "tiny:tiny.x"),
)
WORDS = (
    *("all", "missing", "failing", "", "ALL", "yes", "no", "0", "1", "auto", "cpu", "cuda", "cuda:0"),
    *("cuda:999", "cuda:x", "cpu:1"),
)
GIVEN = ("resnet20=file", "tinynet=file,tinynet=file", "x=file", "=")
VALUES = {
    "models": NAMES,
    "pruners": NAMES,
    "ratios": NUMBERS,
    "protocol": (*PATHS, "quick", "tiny", "tiny.yaml"),
    "baselines": PATHS,
    "update": WORDS,
    "seeds": NUMBERS,
    "fresh": WORDS,
    "power": WORDS,
    "checkpoint": (*PATHS, *GIVEN, *(f"tinynet={path}" for path in PATHS)),
    "pin": WORDS,
    "data": PATHS,
    "device": WORDS,
    "store": (*PATHS, *URLS),
    "report": PATHS,
    "json": PATHS,
}
OFTEN = ("store", "checkpoint", "protocol", "baselines", "models")
SWITCHES = ("fresh", "power", "pin", "update")
PLAIN = (
    *("-q", "-x", "--collect-only", "-n2", "-n0", "--lf", "-rA", "--tb=no", "--runxfail", "-v", "-s"),
    *("--strict-config", FILE, f"{FILE}::prune[dense]", f"{FILE}::prune[x]", f"{FILE}::x", "baselines"),
    *("tiny.py", "x", "."),
)
PARTS = 2


@pytest.mark.parametrize("part", range(PARTS))
def test_any_options(part: int, places: Places, family: Opener) -> None:
    with family("options and paths") as row:
        origin = places.accepted()
        for number in row.numbers(560, part, PARTS):
            draw = row.random(number)
            folder = places.copy(origin, f"options-{number}")
            furnish(folder)
            args = options(draw)
            ended = run(folder, *args)
            faults = ended.faults(0, 1, 2, 4, 5)
            if not faults and ended.code == 4 and (many := sentences(ended.text)):
                faults = [("other", f"more than one sentence\n{many}")]
            row.found(number, [(column, f"{args}\n{what}") for column, what in faults])
            (folder / "sealed").chmod(0o700)
            places.drop(folder)


def furnish(folder: Path) -> None:
    """Things that paths may lead to."""
    (folder / "file").write_text("text")
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "link").symlink_to("folder")
    os.mkfifo(folder / "fifo")
    (folder / "sealed").mkdir(mode=0)
    (folder / "empty.yaml").write_text("")
    (folder / "deep.yaml").write_text("prunecal: 1\nextends: deep.yaml\n")


def options(draw: random.Random) -> list[str]:
    """A command line with one to three odd things in it."""
    found = ["-k", "dense"] if draw.random() < 0.5 else ["--prunecal-ratios=0"]
    names = draw.choice((list(VALUES), list(VALUES), OFTEN))
    for name in draw.sample(names, draw.choice((1, 1, 1, 2, 3))):
        value = draw.choice(VALUES[name]) if draw.random() < 0.9 else str(draw.choice(mutate.ODD))
        value = value.replace("\0", "")
        if draw.random() < 0.25 and "\n" not in value:
            found += ["-o", f"prunecal_{name}={value}"]
        elif name in SWITCHES and draw.random() < 0.7:
            found.append(f"--prunecal-{name}")
        else:
            found.append(f"--prunecal-{name}={value}")
    if draw.random() < 0.3:
        found.insert(0, draw.choice(PLAIN))
    if draw.random() < 0.3:
        found.append("--prunecal-update")
    return found


def sentences(text: str) -> str:
    """What a refused command line prints, if it is more than pytest's usage and one line."""
    lines = [line for line in text.strip().splitlines() if line.startswith("ERROR: prunecal")]
    found = text[text.index("ERROR: prunecal") :].strip() if lines else ""
    return found if len(found.splitlines()) > 1 else ""
