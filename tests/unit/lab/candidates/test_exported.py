"""Exported programs: they give what their network gives, and nothing in them runs as Python."""

import copy
import io
import json
import os
import pickle
import zipfile
from contextlib import suppress

import pytest
import torch
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.candidates import exported

SHAPE = (3, 8, 8)
IMAGES = torch.randn(10, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    ).eval()


@pytest.fixture
def saved(network, tmp_path):
    """A file of the network for any number of images."""
    path = tmp_path / "net.pt2"
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(network, (IMAGES[:2],), dynamic_shapes=(batch,))
    torch.export.save(program, path)
    return path


def rewritten(path, change):
    """The archive with members changed: `change` is given each one's name and content."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in change(members).items():
            archive.writestr(name, content)


def with_model(path, change):
    """The archive with its program changed."""

    def edited(members):
        (name,) = (name for name in members if name.endswith("models/model.json"))
        model = json.loads(members[name])
        change(model)
        return members | {name: json.dumps(model).encode()}

    rewritten(path, edited)


@torch.no_grad()
def test_it_gives_what_the_network_gives(network, saved):
    found = exported.load(saved, SHAPE, "it")
    assert torch.equal(found.model(IMAGES), network(IMAGES))
    assert torch.equal(found.model(IMAGES[:1]), network(IMAGES[:1]))
    assert found.costs["parameters"] == sum(one.numel() for one in network.parameters())
    assert found.costs["macs"] == 4 * 36 * 27 + 1440
    assert found.on_cpu


@torch.no_grad()
def test_a_fixed_number_of_images_is_filled_up(network, tmp_path):
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(network, (IMAGES[:4],)), path)
    found = exported.load(path, SHAPE, "it")
    for count in (10, 4, 1):
        torch.testing.assert_close(found.model(IMAGES[:count]), network(IMAGES[:count]))


@torch.no_grad()
def test_no_fewer_and_no_more_images_than_it_takes(network, tmp_path):
    path = tmp_path / "net.pt2"
    batch = {0: torch.export.Dim("batch", min=2, max=4)}
    torch.export.save(torch.export.export(network, (IMAGES[:3],), dynamic_shapes=(batch,)), path)
    found = exported.load(path, SHAPE, "it")
    for count in (1, 2, 9):
        torch.testing.assert_close(found.model(IMAGES[:count]), network(IMAGES[:count]))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats(network, tmp_path, dtype):
    import copy

    path, other = tmp_path / "net.pt2", copy.deepcopy(network).to(dtype)
    torch.export.save(torch.export.export(other, (IMAGES[:4].to(dtype),)), path)
    found = exported.load(path, SHAPE, "it").model(IMAGES[:4])
    assert found.dtype == torch.float32
    assert torch.equal(found, other(IMAGES[:4].to(dtype)).float())


def test_images_of_another_size(saved):
    with pytest.raises(
        PrunecalError, match=r"^it: takes float32 \(any, 3, 8, 8\), and the data's images are "
    ):
        exported.load(saved, (3, 32, 32), "it")


class Commands:
    """Unpickled, it creates a file."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.system, (f"touch {self.place}",)


def hostile_pickle(place):
    """What torch.save writes, with a command in it."""
    content = io.BytesIO()
    torch.save({"x": Commands(place)}, content)
    return content.getvalue()


def refused(path, canary):
    with pytest.raises(PrunecalError) as caught:
        exported.load(path, SHAPE, "it")
    assert not canary.exists()
    text = str(caught.value)
    assert text.startswith("it: ")
    assert "\n" not in text
    return text


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


def test_this_test_could_fail(canary, saved, monkeypatch):
    """Without protection the samples' pickle runs its command."""
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    samples = "data/sample_inputs/model.pt"
    rewritten(
        saved,
        lambda all_: {
            name: hostile_pickle(canary) if name.endswith(samples) else one for name, one in all_.items()
        },
    )
    with suppress(Exception):  # whatever follows
        torch.export.load(saved)
    assert canary.exists()


def test_a_hostile_pickle_of_samples_is_not_even_read(canary, saved, network):
    samples = "data/sample_inputs/model.pt"
    rewritten(
        saved,
        lambda all_: {
            name: hostile_pickle(canary) if name.endswith(samples) else one for name, one in all_.items()
        },
    )
    with torch.no_grad():
        assert torch.equal(exported.load(saved, SHAPE, "it").model(IMAGES), network(IMAGES))
    assert not canary.exists()


@pytest.mark.parametrize("variable", [None, "0"])
def test_a_hostile_pickle_of_weights(canary, saved, monkeypatch, variable):
    if variable:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")

    def edited(members):
        (name,) = (name for name in members if name.endswith("model_weights_config.json"))
        config = json.loads(members[name])
        first = next(iter(config["config"].values()))
        first["use_pickle"] = True
        place = name.replace("model_weights_config.json", first["path_name"])
        return members | {name: json.dumps(config).encode(), place: hostile_pickle(canary)}

    rewritten(saved, edited)
    assert "cannot be loaded" in refused(saved, canary)
    assert os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD") is None
    assert os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD") == ("1" if variable else None)


@pytest.mark.parametrize("member", ["constants/custom_obj_0", "aotinductor/model/x.so", "constants/x/../y"])
def test_members_that_could_run(canary, saved, member):
    content = pickle.dumps(Commands(canary))
    rewritten(saved, lambda all_: all_ | {f"net/data/{member}": content})
    assert "which could run code when loaded" in refused(saved, canary)


def test_a_size_that_is_a_command(canary, saved):
    def change(model):
        values = model["graph_module"]["graph"]["tensor_values"]
        size = next(size for value in values.values() for size in value["sizes"] if "as_expr" in size)
        size["as_expr"]["expr_str"] = f"__import__('os').system('touch {canary}')"

    with_model(saved, change)
    assert "which would be run as code" in refused(saved, canary)


def test_guards_that_are_commands(canary, saved):
    with_model(saved, lambda model: model.update(guards_code=[f"__import__('os').system('touch {canary}')"]))
    assert "holds guards, which are Python code" in refused(saved, canary)


def test_a_target_that_is_a_command(canary, saved):
    def change(model):
        model["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"

    with_model(saved, change)
    assert "calls 'torch.os.system', which is none of the operators" in refused(saved, canary)


def test_names_of_arguments_that_are_commands(canary, saved):
    def change(model):
        signature = model["graph_module"]["module_call_graph"][0]["signature"]
        signature["forward_arg_names"] = [f"x=__import__('os').system('touch {canary}')"]

    with_model(saved, change)
    assert "has arguments with names that are none" in refused(saved, canary)


def test_what_is_broken(saved, canary):
    rewritten(saved, lambda all_: {name: one for name, one in all_.items() if "model.json" not in name})
    assert "is no readable exported program" in refused(saved, canary)
    saved.write_bytes(b"PK\x03\x04")
    assert "is no readable archive" in refused(saved, canary)


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED], ids=["compressed", "overlapping"]
)
def test_an_archive_of_more_than_the_file_holds(saved, method):
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(saved, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("net/data/weights/weight_9", bytes(1 << 20))
        if method == zipfile.ZIP_STORED:
            # Ten members that are all the bytes of one.
            (info,) = (info for info in archive.infolist() if info.filename.endswith("weight_9"))
            for number in range(10, 20):
                another = copy.copy(info)
                another.filename = f"net/data/weights/weight_{number}"
                archive.filelist.append(another)
    with pytest.raises(PrunecalError, match="is compressed or unpacks to more than it holds"):
        exported.load(saved, SHAPE, "candidate net")
