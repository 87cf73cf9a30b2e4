"""Files beside a baseline that somebody forged, digest and all: refused, or of no use to the forger."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile

import pytest

FEW = ("--prunecal-ratios=0,0.5", "--prunecal-pruners=weight")
BROKEN = """\
        if not self.training:
            return torch.eye(10)[torch.zeros(len(maps), dtype=torch.int64)] * 50
        return self.head(maps.mean((2, 3)))
"""


def zip_of(project):
    (found,) = project.baseline.parent.glob("*.zip")
    return found


def forge(project, edit):
    """Rewrite the file of results by image, and its digest in the baseline."""
    with zipfile.ZipFile(zip_of(project)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    index = json.loads(entries["index.json"])
    edit(index, entries)
    entries["index.json"] = json.dumps(index).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    put(project, buffer.getvalue())


def put(project, content):
    zip_of(project).write_bytes(content)
    text = project.baseline.read_text()
    sha256 = hashlib.sha256(content).hexdigest()
    project.baseline.write_text(re.sub(r"(zip, sha256:) \w+", rf"\1 {sha256}", text))


def refused(project, *args):
    outcome = project.gate(*FEW, *args)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR, outcome.text
    (line,) = outcome.err.strip().splitlines()
    assert line.startswith(f"ERROR: prunecal: baselines/tiny/{zip_of(project).name}: ")
    return line


def test_a_regression_is_none_the_less_one_where_the_first_seed_is_forged(auto):
    auto.edit("        return self.head(maps.mean((2, 3)))\n", BROKEN, "tiny.py")
    honest = auto.gate(*FEW)
    assert honest.ret == 1

    def the_first_seed(index, _):
        for cell in index["cells"]:
            numbers = honest.numbers.get(f"prune[{cell}]", {})
            index["cells"][cell]["each"] = {name: [value] for name, value in numbers.items()}

    forge(auto, the_first_seed)
    line = refused(auto)
    assert f"does not agree with {auto.FILE}:" in line
    assert " its first seed has accuracy 0." in line
    assert "which none of 1 with the mean 0." in line
    # The way out that the line names.
    zip_of(auto).unlink()
    assert auto.gate(*FEW).ret == 1


def as_now(index, measured):
    """Give each measured cell the trace of this very code."""
    for cell, found in measured.items():
        stages = found["trace"]["stages"]
        index["stages"] |= {f"{cell} {stage}": values for stage, values in stages.items()}
        keys = {stage: f"{cell} {stage}" for stage in stages}
        index["cells"][cell]["trace"] = {"base": found["trace"]["base"], "stages": keys}


def no_trace(index, _):
    for cell in index["cells"].values():
        del cell["trace"]


def no_jitter(index, _):
    for cell in index["cells"].values():
        del cell["jitter"]


def much_jitter(index, _):
    """As much as each metric has room for; and a million times as much in the trace."""
    for cell in index["cells"].values():
        moved = cell["jitter"]["metrics"]
        for name in moved.keys() - {"parameters", "macs", "sparsity"}:
            bad = -0.9 if name in ("accuracy", "mpc", "rpc") else 0.9
            moved[name] = [bad * cell["each"][name][0]] * 2
        for stage, key in cell["jitter"]["trace"].items():
            values = index["stages"][key]
            index["stages"][f"{key} more"] = {name: 1e6 * max(value, 1e-6) for name, value in values.items()}
            cell["jitter"]["trace"][stage] = f"{key} more"


def other_seeds_permuted(index, _):
    for cell in index["cells"].values():
        cell["each"] = {name: [one, *rest[::-1]] for name, (one, *rest) in cell["each"].items()}


def all_of_it(index, measured):
    much_jitter(index, measured)
    other_seeds_permuted(index, measured)
    as_now(index, measured)


@pytest.mark.parametrize("options", [(), ("--prunecal-repeat=1",)], ids=["default", "one look"])
@pytest.mark.parametrize(
    "forger", [as_now, no_trace, no_jitter, much_jitter, other_seeds_permuted, all_of_it]
)
def test_no_trace_jitter_or_seed_makes_a_run_pass(sure, forger, options):
    sure.tune(worse=True)
    honest = sure.gate(*FEW, *options)
    forge(sure, lambda index, _: forger(index, honest.watcher.measured))
    forged = sure.gate(*FEW, *options)
    zip_of(sure).unlink()
    alone = sure.gate(*FEW, *options)
    assert (honest.ret, alone.ret) == (1, 1)
    assert (forged.ret, forged.cells) == (1, {"dense": "passed", "weight-0.5": "failed"}), forged.text
    assert regressed(alone) <= regressed(forged)


def regressed(outcome):
    """Metrics of the cell that got worse."""
    rows = outcome.message("weight-0.5").splitlines()
    found = {row.split()[0] for row in rows if row.endswith(" regression")}
    assert found
    return found


@pytest.mark.parametrize("options", [(), ("--prunecal-repeat=1",)], ids=["default", "one look"])
def test_seeds_in_another_order_than_the_baseline_says_are_refused(sure, options):
    sure.tune(worse=True)

    def turned(index, _):
        for cell in index["cells"].values():
            cell["each"] = {name: values[::-1] for name, values in cell["each"].items()}

    forge(sure, turned)
    line = refused(sure, *options)
    assert re.search(r"about \S+: its first seed has \w+ [\d.]+, not [\d.]+; ", line), line


def test_a_regression_is_none_the_less_one_where_the_base_network_is_forged(auto):
    assert auto.gate("--prunecal-update", "--prunecal-pin").ret == 0
    auto.edit("        return self.head(maps.mean((2, 3)))\n", BROKEN, "tiny.py")

    def another_base(index, entries):
        for found in index["cells"].values():
            entries[f"bases/{'f' * 64}"] = entries[f"bases/{found['base']}"]
            index["bases"]["f" * 64] = index["bases"][found["base"]]
            found["base"] = "f" * 64

    honest = auto.gate(*FEW)
    forge(auto, another_base)
    outcome = auto.gate(*FEW)
    assert (outcome.ret, outcome.cells) == (1, honest.cells)
    # The baseline itself says that the base network is pinned.
    assert "compared against the one accepted seed: " in outcome.message("weight-0.5")


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (
            lambda index, _: index["cells"]["weight-0.5"].update(change_sd={"nll": 1e9}),
            "about weight-0.5: its change of nll has the deviation 1e+09; ",
        ),
        (
            lambda index, _: index["cells"]["weight-0.5"]["each"].update(accuracy=[0.4] * 1000),
            "about weight-0.5: ",
        ),
        (
            lambda index, _: index["cells"]["weight-0.5"]["each"].update(ece=[float("nan")]),
            "cannot be read (its index has no numbers where they belong)",
        ),
        (
            lambda _, entries: entries.update(
                {"cells/weight-0.5": b"\x7e" * len(entries["cells/weight-0.5"])}
            ),
            "about weight-0.5: what the images add to accuracy is not finite; ",
        ),
        (
            lambda _, entries: entries.update({"cells/weight-0.5": bytes(len(entries["cells/weight-0.5"]))}),
            "about weight-0.5: what the images add to accuracy averages to 0, not to 0.",
        ),
        (
            lambda index, _: index["bases"][index["cells"]["dense"]["base"]].update(nll=0.0),
            " of its base network, not 0; ",
        ),
        (
            lambda _, entries: entries.update({"cells/weight-0.5": bytes(2**26)}),
            f"unfolds to more than {2**26} bytes; delete it",
        ),
    ],
)
@pytest.mark.parametrize("update", [[], ["--prunecal-update=failing"]])
def test_a_file_that_contradicts_its_baseline_is_one_line(gated, edit, says, update):
    forge(gated, edit)
    assert says in refused(gated, *update)


def test_a_full_update_mends_it(gated):
    before = zip_of(gated).read_bytes()
    forge(gated, lambda index, _: index["cells"]["dense"]["each"].update(ece=[0.7]))
    name = zip_of(gated).name
    assert gated.gate("--prunecal-update").ret == 0
    assert zip_of(gated).read_bytes() == before
    assert zip_of(gated).name == name


def test_what_is_no_file_does_not_keep_the_session_waiting(gated):
    place = zip_of(gated)
    place.unlink()
    os.mkfifo(place)
    assert refused(gated).endswith("is a named pipe, not a regular file; put the file itself there")


def test_results_about_other_images_decide_nothing(auto):
    def twice_the_images(index, entries):
        for name, content in entries.items():
            if name != "index.json":
                names = index["columns"]
                images = len(content) // (2 * len(names))
                planes = [content[start : start + images] for start in range(0, len(content), images)]
                entries[name] = b"".join(plane + plane for plane in planes)

    forge(auto, twice_the_images)
    outcome = auto.gate(*FEW)
    assert outcome.ret == 0, outcome.text
    assert "2 cells: 2 identical" in outcome.out
