"""Finished networks given to the gate: measured and accepted, gated, refused."""

from __future__ import annotations

import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

ONNX = "--prunecal-candidate=tinynet:v2=v2.onnx"
SMALL = nn.Sequential(
    nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 10)
)


def small(scale=1.0):
    """A small network with weights of its own."""
    network = nn.Sequential(*SMALL)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    network[-1].weight.data *= scale
    network[-1].bias.data *= scale
    return network.eval()


def export(path, network=None, shape=(2, 3, 8, 8), **settings):
    pytest.importorskip("onnx")
    axes = {"images": {0: "n"}, "logits": {0: "n"}}
    torch.onnx.export(
        network or small(),
        (torch.zeros(shape),),
        str(path),
        dynamo=False,
        input_names=["images"],
        output_names=["logits"],
        dynamic_axes=axes,
        **settings,
    )


def refused(project, *args):
    """The one line that a refused run prints."""
    outcome = project.run(*args)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR, outcome.text
    (line,) = outcome.err.strip().splitlines()
    return line.removeprefix("ERROR: prunecal: ")


def test_an_onnx_file_is_accepted_and_gated(project):
    export(project.path / "v2.onnx")
    first = project.run(ONNX, "--prunecal-update")
    assert first.ret == 0, first.text
    assert first.cells == {"candidate-v2": "passed"}
    assert "candidate-v2:" in project.baseline.read_text()
    assert not (project.path / ".prunecal/base").exists()  # nothing was trained
    again = project.run(ONNX, "--prunecal-fresh")
    assert again.ret == 0, again.text
    assert again.numbers == first.numbers
    assert first.watcher.measured["candidate-v2"]["provenance"]["network"]
    assert project.run(ONNX).watcher.measured["candidate-v2"]["reused"]


def test_a_plan_says_what_another_file_would_have_to_lose(project):
    project.allow_noise()
    export(project.path / "v2.onnx")
    assert project.run(ONNX, "--prunecal-update").ret == 0
    outcome = project.run(ONNX, "--prunecal-plan")
    assert outcome.ret == 0, outcome.text
    said = outcome.line("candidate-v2, another network on the same test images, without training noise: ")
    caught = {name: float(value) for name, value in re.findall(r"(\w[\w ]*) from (0\.\d+)", said)}
    assert list(caught) == ["accuracy", "ECE", "mPC", "ECE under corruption"]
    # No smaller than what the sampling error of both files explains, and no larger than all there is.
    assert all(0.05 < change < 1 for change in caught.values())
    assert not outcome.cells


def test_another_network_in_the_file_fails(project):
    export(project.path / "v2.onnx")
    assert project.run(ONNX, "--prunecal-update").ret == 0
    export(project.path / "v2.onnx", small(scale=3.0))
    outcome = project.run(ONNX)
    assert outcome.cells == {"candidate-v2": "failed"}


def test_a_rule_of_recovery_needs_a_model_that_something_builds(project):
    export(project.path / "v2.onnx")
    protocol, text = project.path / "tiny.yaml", (project.path / "tiny.yaml").read_text()
    theirs = "--prunecal-candidate=theirs:v2=v2.onnx"
    protocol.write_text(text + "recovery: {accuracy: 0.99}\n")
    said = refused(project, theirs, "--prunecal-update")
    assert said.startswith(
        f"tiny.yaml:{len(text.splitlines()) + 1}: recovery of theirs candidate-v2 has no dense"
    )
    assert "no model 'theirs' is registered that builds one" in said
    assert said.endswith("or move the rule from the protocol to the baseline files of models that are built")
    protocol.write_text(text)
    assert project.run(theirs, "--prunecal-update").ret == 0
    protocol.write_text(text + "recovery: {accuracy: 0.99}\n")
    assert refused(project, theirs).endswith("or say `recovery: {}` in baselines/tiny/theirs.yaml")
    accepted = project.path / "baselines/tiny/theirs.yaml"
    accepted.write_text(accepted.read_text().replace("cells:\n", "recovery: {}\ncells:\n"))
    assert project.run(theirs).ret == 0


def test_the_same_numbers_in_other_workers_and_beside_the_grid(gated):
    dense = gated.gate("-k", "dense").watcher.measured["dense"]
    weights = load_file(gated.path / ".prunecal" / dense["provenance"]["base_entry"])
    save_file(weights, gated.path / "net.safetensors")
    export(gated.path / "v2.onnx")
    gated.write(
        {
            "mine.py": "import torch\nfrom torch import nn\n\n"
            "class Draws(nn.Module):\n"
            "    def __init__(self, num_classes):\n"
            "        super().__init__()\n"
            "        self.head = nn.Linear(192, num_classes)\n"
            "        self.passes = 0\n"
            "    def forward(self, images):\n"
            "        self.passes += 1\n"
            "        return self.head(images.flatten(1) + torch.rand(1).to(images)) * self.passes\n",
            "conftest.py": "def pytest_prunecal_models(config):\n    return {'tinynet': 'tiny:tiny'}\n"
            "def pytest_prunecal_candidates(config):\n"
            "    return {'tinynet:own': 'mine:Draws', 'tinynet:file': 'net.safetensors',\n"
            "            'tinynet:onnx': 'v2.onnx'}\n",
        }
    )
    cells = ("candidate-own", "candidate-file", "candidate-onnx")
    alone = gated.gate("-k", "candidate", "--prunecal-update")
    assert alone.ret == 0, alone.text
    assert tuple(alone.cells) == cells
    together = gated.gate("-n2", "--prunecal-fresh", "-k", "candidate or dense")
    assert {*together.cells} == {"dense", *cells}
    for cell in cells:
        assert together.numbers[f"prune[{cell}]"] == alone.numbers[f"prune[{cell}]"]
    # The dense network's own weights give the dense network's own numbers.
    told = ("accuracy", "ece", "nll", "mpc", "parameters", "macs", "sparsity")
    of_file, dense = (together.numbers[f"prune[{cell}]"] for cell in ("candidate-file", "dense"))
    assert {name: of_file[name] for name in told} == {name: dense[name] for name in told}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty; give an ONNX file, "),
        (b"hello\n", "is a text; give an ONNX file, "),
        (b"\x80\x04}q\x00.", "is a pickle (an old PyTorch file is one, too), and loading it runs whatever "),
        (b"PK\x03\x04" + bytes(50), "is a zip archive of no network; "),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, not the file that it "),
    ],
)
def test_a_file_that_is_no_network(project, content, says):
    (project.path / "v2.onnx").write_bytes(content)
    if content == b"hello\n":
        (project.path / "v2.onnx").rename(project.path / "v2.txt")
    name = "v2.txt" if content == b"hello\n" else "v2.onnx"
    line = refused(project, f"--prunecal-candidate=tinynet:v2={name}")
    assert line.startswith(f"candidate v2 ({project.path}/{name}): {says}")


@pytest.mark.parametrize(
    ("network", "shape", "says"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.Linear(192, 7)),
            (2, 3, 8, 8),
            "it gives 7 logits an image, and the ",
        ),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
            (2, 1, 8, 8),
            "takes float (any, 1, 8, 8), and the ",
        ),
        (nn.Linear(192, 10), (2, 192), "takes float (any, 192), which are no images: wanted four "),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(192, 10), nn.Softmax(1)),
            (2, 3, 8, 8),
            "what it gives are probabilities",
        ),
    ],
)
def test_a_network_of_other_data(project, network, shape, says):
    export(project.path / "v2.onnx", network.eval(), shape)
    assert says in refused(project, ONNX, "--prunecal-update")


def test_weights_of_a_model_that_nothing_builds(project):
    save_file({"fc.weight": torch.zeros(10, 3)}, project.path / "net.safetensors")
    line = refused(project, "--prunecal-candidate=theirs:v2=net.safetensors")
    assert "is a file of weights, and nothing builds networks of 'theirs'; register the model " in line


def test_torchscript_takes_trust(project):
    torch.jit.trace(small(), torch.zeros(2, 3, 8, 8)).save(project.path / "v2.pt")
    asked = "--prunecal-candidate=theirs:v2=v2.pt"
    line = refused(project, asked)
    assert "is TorchScript, which can run code when it is loaded; if you trust who made it, " in line
    assert f"--prunecal-trust={project.path}/v2.pt" in line
    assert project.run(asked, "--prunecal-trust=v2.pt", "--prunecal-update").ret == 0
    assert (project.path / "baselines/tiny/theirs.yaml").exists()


def test_without_the_extra(project, monkeypatch):
    export(project.path / "v2.onnx")
    from importlib import util

    find = util.find_spec
    hidden = "onnxruntime"
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: None if name == hidden else find(name, *rest))
    assert refused(project, ONNX).endswith(
        "is an ONNX file, which takes onnxruntime; pip install 'pytest-prunecal[onnx]'"
    )
