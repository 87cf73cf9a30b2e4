"""CIFAR-10 and CIFAR-100 through torchvision, from tiny files in their layout."""

import hashlib
import pickle
import tarfile
import urllib.request
import warnings
from urllib.error import URLError

import numpy as np
import pytest

from pytest_prunecal.lab.datasets.cifar import cifar10
from pytest_prunecal.lab.datasets.load import load


@pytest.fixture
def offline(monkeypatch):
    """No test reaches the network."""

    def refuse(*_args, **_kwargs):
        raise URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


class Grumble:
    """Unpickling this warns, as the real files do under newer numpy."""

    def __reduce__(self):
        return (warnings.warn, ("old pickle",))


def write_cifar(root, monkeypatch, name):
    """Writes tiny files in CIFAR's layout and has torchvision take their md5s for the published ones.

    The real checksums cannot be met by a fixture, so the checksum lists are the one thing replaced: the
    constructor, its integrity check and its unpickling are torchvision's own.
    """
    datasets = pytest.importorskip("torchvision.datasets")
    kind, labels = {"cifar10": (datasets.CIFAR10, "labels"), "cifar100": (datasets.CIFAR100, "fine_labels")}[
        name
    ]
    classes = 10 if name == "cifar10" else 100
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    written, md5s = {}, {}

    def write(file, content):
        (folder / file).write_bytes(pickle.dumps(content))
        md5s[file] = hashlib.md5((folder / file).read_bytes(), usedforsecurity=False).hexdigest()

    for file, _ in kind.train_list + kind.test_list:
        pixels = draw.integers(256, size=(4, 3072), dtype=np.uint8)
        numbers = draw.integers(classes, size=4).tolist()
        write(file, {"data": pixels, labels: numbers, "batch_label": Grumble()})
        written[file] = pixels.reshape(4, 3, 32, 32), numbers
    write(kind.meta["filename"], {kind.meta["key"]: [str(number) for number in range(classes)]})
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(kind, part, [[file, md5s[file]] for file, _ in getattr(kind, part)])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5s[kind.meta["filename"]]})
    return kind, written


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.filterwarnings("error:old pickle")
@pytest.mark.usefixtures("offline")
def test_cifar_is_read_through_torchvision(tmp_path, monkeypatch, name):
    kind, written = write_cifar(tmp_path, monkeypatch, name)
    first, second = (load({"name": name}, tmp_path) for _ in range(2))
    for part, files in (("train", kind.train_list), ("test", kind.test_list)):
        pixels = np.concatenate([written[file][0] for file, _ in files])
        np.testing.assert_array_equal(getattr(first, f"{part}_images"), pixels)
        assert getattr(first, f"{part}_labels").tolist() == [
            label for file, _ in files for label in written[file][1]
        ]
    assert (first.name, first.classes) == (name, {"cifar10": 10, "cifar100": 100}[name])
    assert first.digest == second.digest
    # A read-only data directory must do: nothing was written.
    assert [entry.name for entry in tmp_path.iterdir()] == [kind.base_folder]


@pytest.mark.usefixtures("offline")
def test_a_tampered_cifar_file_is_refused_before_it_is_unpickled(trap, says, tmp_path, monkeypatch):
    kind, _ = write_cifar(tmp_path, monkeypatch, "cifar10")
    for file in ("data_batch_3", "batches.meta"):
        path = tmp_path / kind.base_folder / file
        honest = path.read_bytes()
        path.write_bytes(pickle.dumps(trap))
        with says("cifar10", file, str(path.parent), "https://"):
            cifar10(tmp_path)
        path.write_bytes(honest)
    assert not trap.path.exists()
    assert len(cifar10(tmp_path).train_labels) == 20


@pytest.mark.usefixtures("offline")
def test_torchvisions_own_checksums_refuse_a_trap_in_every_file(trap, says, tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    files = [file for file, _ in datasets.CIFAR10.train_list + datasets.CIFAR10.test_list] + ["batches.meta"]
    for file in files:
        (folder / file).write_bytes(pickle.dumps(trap))
    with says("cifar10", *files, "delete that folder"):
        cifar10(tmp_path)
    assert not trap.path.exists()


@pytest.mark.usefixtures("offline")
def test_missing_cifar_without_a_network_is_one_line(says, tmp_path):
    pytest.importorskip("torchvision.datasets")
    root = tmp_path / "data"
    with says(
        "cifar10",
        "cifar-10-batches-py lacks data_batch_1",
        "batches.meta and downloading failed",
        "Name or service not known",
        "fetch https://",
        "cifar-10-python.tar.gz",
        f"in {root}",
    ):
        cifar10(root)


@pytest.mark.filterwarnings("error:old pickle")
@pytest.mark.usefixtures("offline")
def test_missing_cifar_is_unpacked_from_its_archive(tmp_path, monkeypatch):
    kind, written = write_cifar(tmp_path / "made", monkeypatch, "cifar10")
    data = tmp_path / "data"
    data.mkdir()
    with tarfile.open(data / kind.filename, "w:gz") as archive:
        archive.add(tmp_path / "made" / kind.base_folder, kind.base_folder)
    md5 = hashlib.md5((data / kind.filename).read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(kind, "tgz_md5", md5)
    np.testing.assert_array_equal(cifar10(data).test_images, written["test_batch"][0])


def test_cifar_needs_a_data_directory(says):
    with says("cifar10", "--prunecal-data=DIR"):
        load({"name": "cifar10"}, None)


@pytest.mark.parametrize(
    "error",
    [
        ImportError("No module named 'torchvision'"),
        RuntimeError("operator torchvision::nms does not exist\nmore"),
        AttributeError("partially initialized module 'torchvision' has no attribute 'extension'"),
    ],
)
def test_a_missing_or_mismatched_torchvision_is_one_line(says, tmp_path, monkeypatch, error):
    def fail(_name):
        raise error

    monkeypatch.setattr("pytest_prunecal.lab.datasets.cifar.import_undisturbed", fail)
    with says("torchvision", str(error).splitlines()[0], 'pip install "pytest-prunecal[torchvision]"'):
        load({"name": "cifar100"}, tmp_path)
