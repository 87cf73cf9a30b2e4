"""Corrupted test sets: in the protocol's order, made once and shared, or streamed to the same bits."""

import subprocess
import sys
import types
import weakref
from functools import partial

import pytest
import torch
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.corruptions.generate import corrupt
from pytest_prunecal.lab.datasets.base import Dataset
from pytest_prunecal.lab.evaluation import corrupted_sets as corrupted
from pytest_prunecal.lab.evaluation.corrupted_sets import CorruptedSets
from pytest_prunecal.lab.evaluation.evaluate import evaluate
from pytest_prunecal.lab.evaluation.tally import Tally
from pytest_prunecal.lab.forward import Forward, Normalisation
from pytest_prunecal.store.store import Store
from pytest_prunecal.study.builtin import BENCHMARK
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.protocol import Evaluation

SHARER = """
import sys, time
from pathlib import Path
import torch
from pytest_prunecal.lab.evaluation import corrupted_sets as corrupted
from pytest_prunecal.lab.datasets.base import Dataset
from pytest_prunecal.study.protocol import Evaluation
from pytest_prunecal.store.store import Store

folder = Path(sys.argv[1])
corrupt = corrupted.corrupt

def log(what, name, severity):
    with (folder / "log").open("a") as file:
        file.write(f"{what} {name} {severity}\\n")

def beside_another(images, name, severity, seed):
    log("begin", name, severity)
    while (folder / "log").read_text().count("begin") < 2:  # until the other process makes one too
        time.sleep(0.01)
    log("end", name, severity)
    return corrupt(images, name, severity, seed=seed)

corrupted.corrupt = beside_another
images = torch.arange(6 * 3 * 8 * 8).remainder(251).to(torch.uint8).view(6, 3, 8, 8)
labels = torch.tensor([0, 1, 0, 1, 0, 1])
dataset = Dataset("tiny", images, labels, images, labels, 2)
evaluation = Evaluation(4, 10, ("contrast", "gaussian_noise"), (3, 1), "generated")
found = list(corrupted.CorruptedSets(dataset, evaluation, None, Store(str(folder / "store"))))
for part in found:
    print(part.corruption, part.severity, int(part.images.sum()))
maps = Path("/proc/self/maps").read_text().splitlines()
print(sorted({line.split()[-1] for line in maps if ".npy" in line}))
"""


@pytest.fixture
def dataset():
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8, generator=draw)
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    return Dataset("tiny", images, labels, images.flip(0), labels, 2)


def evaluation(source="generated", corruptions=("contrast", "gaussian_noise"), severities=(3, 1)):
    return Evaluation(batch=4, bins=10, corruptions=corruptions, severities=severities, source=source)


@pytest.mark.parametrize("source", ["generated", "auto"])
def test_generated_sets(dataset, tmp_path, source):
    sets = CorruptedSets(dataset, evaluation(source), tmp_path, Store(str(tmp_path / "store")))
    found = list(sets)
    assert sets.source == "generated"
    assert [(part.corruption, part.severity) for part in found] == (
        [("contrast", 3), ("contrast", 1), ("gaussian_noise", 3), ("gaussian_noise", 1)]
    )
    for part in found:
        expected = corrupt(dataset.test_images, part.corruption, part.severity, seed=0)
        assert torch.equal(part.images, expected)
        assert part.images.dtype == torch.uint8


def test_they_are_made_once(dataset, tmp_path, monkeypatch):
    store = Store(str(tmp_path / "store"))
    first = [part.images.clone() for part in CorruptedSets(dataset, evaluation(), None, store)]

    def never(*_, **__):
        raise AssertionError("generated again")

    monkeypatch.setattr(corrupted, "corrupt", never)
    again = list(CorruptedSets(dataset, evaluation(), None, store))
    assert all(torch.equal(one, part.images) for one, part in zip(first, again, strict=True))
    # What somebody does to the images does not reach the store.
    again[0].images.zero_()
    fresh = next(iter(CorruptedSets(dataset, evaluation(), None, store)))
    assert torch.equal(fresh.images, first[0])
    with pytest.raises(AssertionError, match="generated again"):
        list(CorruptedSets(dataset, evaluation(severities=(2,)), None, store))


def test_two_processes_share_the_sets_and_the_making_of_them(tmp_path, patience):
    command = [sys.executable, "-c", SHARER, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        outputs = [process.communicate(timeout=patience)[0].splitlines() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0]
    # The same sets in the protocol's order, and both see the stored files themselves, not copies.
    assert outputs[0] == outputs[1]
    order = [line.rsplit(" ", 1)[0] for line in outputs[0][:-1]]
    assert order == ["contrast 3", "contrast 1", "gaussian_noise 3", "gaussian_noise 1"]
    stored = sorted(str(path) for path in (tmp_path / "store" / "corrupted").iterdir())
    assert len(stored) == 4
    assert outputs[0][-1] == str(stored)
    # Each set was made once, and both processes were making one at the same time.
    log = [line.split(" ", 1) for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(name for what, name in log if what == "begin") == sorted(order)
    assert [what for what, _ in log[:2]] == ["begin", "begin"]


def test_while_another_process_makes_a_set_others_are_made(dataset, tmp_path):
    made = []

    class Busy(Store):
        """Another process makes the first set until two more have been made here."""

        def attempt(self, artefact):
            name, severity = artefact.make.args[1:]
            if (name, severity) == ("contrast", 3) and len(made) < 2:
                return None
            return super().attempt(artefact._replace(make=partial(self.note, artefact.make)))

        def note(self, make):
            made.append(make.args[1:])
            return make()

        def obtain(self, artefact):
            assert artefact.make.args[1:] in made, "waited although there was something to do"
            return super().obtain(artefact)

    first = next(iter(CorruptedSets(dataset, evaluation(), None, Busy(str(tmp_path)))))
    assert (first.corruption, first.severity) == ("contrast", 3)
    assert torch.equal(first.images, corrupt(dataset.test_images, "contrast", 3, seed=0))
    assert made == [("contrast", 1), ("gaussian_noise", 3), ("contrast", 3)]


def evaluated(dataset, sets):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 2))
    found = evaluate(
        model,
        dataset.test_images,
        sets,
        Tally(METRICS, dataset.test_labels, 10),
        Forward(Normalisation((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))),
        4,
        torch.device("cpu"),
    )
    columns = {name: column.tolist() for name, column in found.sampled.columns.items()}
    return found.metrics, found.corrupted, columns


def test_sets_too_large_to_keep_are_streamed_to_the_same_numbers(dataset, tmp_path, monkeypatch):
    wanted = evaluation(corruptions=("contrast", "gaussian_noise", "glass_blur", "elastic_transform"))
    nbytes = dataset.test_images.numel() * 4 * 2
    monkeypatch.setattr(corrupted, "KEPT_BYTES", nbytes)
    kept = CorruptedSets(dataset, wanted, None, Store(str(tmp_path / "kept")))
    assert not kept.streamed
    expected = evaluated(dataset, kept)
    assert len(list((tmp_path / "kept" / "corrupted").iterdir())) == 8

    asked, alive = [], weakref.WeakSet()

    def watched(images, *args, **kwargs):
        assert not alive, "the batch before is still in memory"
        asked.append(len(images))
        result = corrupt(images, *args, **kwargs)
        alive.add(result)
        return result

    monkeypatch.setattr(corrupted, "KEPT_BYTES", nbytes - 1)
    monkeypatch.setattr(corrupted, "corrupt", watched)
    sets = CorruptedSets(dataset, wanted, None, Store(str(tmp_path / "streamed")))
    assert sets.streamed
    assert evaluated(dataset, sets) == expected
    assert asked == [4, 2] * 8  # nothing before it is needed, and no more than a batch at once
    assert not (tmp_path / "streamed" / "corrupted").exists()


def test_the_papers_sets_are_kept_and_imagenets_are_not():
    all_of_them = len(BENCHMARK) * 5
    assert 10_000 * 3 * 32 * 32 * all_of_them < corrupted.KEPT_BYTES < 50_000 * 3 * 224 * 224 * all_of_them


def test_a_streamed_set_gives_any_slice(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(corrupted, "KEPT_BYTES", 0)
    for part in CorruptedSets(dataset, evaluation(), None, Store(str(tmp_path))):
        whole = corrupt(dataset.test_images, part.corruption, part.severity, seed=0)
        assert len(part.images) == 6
        for some in (slice(None), slice(1, 3), slice(4, 99), slice(5, 5)):
            assert torch.equal(part.images[some], whole[some])


def test_another_data_set_has_sets_of_its_own(dataset, tmp_path):
    store = Store(str(tmp_path / "store"))
    one = evaluation(corruptions=("contrast",), severities=(3,))
    (first,) = CorruptedSets(dataset, one, None, store)
    (other,) = CorruptedSets(dataset.subset(test=4), one, None, store)
    assert torch.equal(other.images, corrupt(dataset.test_images[:4], "contrast", 3, seed=0))
    assert len(first.images) == 6


def test_published_sets_are_taken_where_they_lie(dataset, tmp_path, monkeypatch):
    asked = []

    def images(name, severity):
        asked.append((name, severity))
        return dataset.test_images + severity

    def find(root, of, names):
        assert (root, of, tuple(names)) == (tmp_path, dataset, ("contrast", "gaussian_noise"))
        return types.SimpleNamespace(images=images)

    monkeypatch.setattr(corrupted, "published", find)
    store = Store(str(tmp_path / "store"))
    for source in ("auto", "published"):
        sets = CorruptedSets(dataset, evaluation(source), tmp_path, store)
        assert sets.source == "published"
        assert torch.equal(next(iter(sets)).images, dataset.test_images + 3)
    assert asked == [("contrast", 3)] * 2
    assert CorruptedSets(dataset, evaluation("generated"), tmp_path, store).source == "generated"
    monkeypatch.setattr(corrupted, "KEPT_BYTES", 0)
    assert not sets.streamed


def test_what_cannot_be_had(dataset, tmp_path):
    store = Store(str(tmp_path / "store"))
    with pytest.raises(PrunecalError, match=r"asks for published corruptions of tiny.*--prunecal-data"):
        CorruptedSets(dataset, evaluation("published"), None, store)
    with pytest.raises(PrunecalError, match="unknown corruption 'rain'; there are gaussian_noise,"):
        CorruptedSets(dataset, evaluation(corruptions=("fog", "rain")), None, store)
