"""ONNX files: the same logits as the network in torch, whatever they say that they take."""

import pytest
import torch
from torch import nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.candidates import onnx as form
from pytest_prunecal.lab.forward import Forward, Normalisation

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SHAPE = (3, 8, 8)
IMAGES = torch.randn(10, *SHAPE, generator=torch.Generator().manual_seed(1))
helper = onnx.helper


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    ).eval()


class Transposed(nn.Module):
    """Takes (N, H, W, 3)."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images.permute(0, 3, 1, 2))


class OfPixels(nn.Module):
    """Normalises by itself."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixels):
        return self.network((pixels.float() / 255 - 0.5) / 0.25)


def saved(path, network, images, *, fixed=False):
    axes = {} if fixed else {"images": {0: "n"}, "logits": {0: "n"}}
    torch.onnx.export(
        network,
        (images,),
        str(path),
        dynamo=False,
        input_names=["images"],
        output_names=["logits"],
        dynamic_axes=axes,
    )
    return path


def refused(path, shape=SHAPE):
    with pytest.raises(PrunecalError) as caught:
        form.load(path, shape, "it").model(torch.zeros(2, *shape))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@torch.no_grad()
@pytest.mark.parametrize("fixed", [False, True])
def test_the_logits_of_torch_whatever_the_batch(network, tmp_path, fixed):
    found = form.load(saved(tmp_path / "net.onnx", network, IMAGES[:4], fixed=fixed), SHAPE, "it")
    logits = found.model(IMAGES)
    torch.testing.assert_close(logits, network(IMAGES), rtol=1e-5, atol=1e-6)
    for size in (1, 3, 4, 7):
        assert torch.equal(torch.cat([found.model(part) for part in IMAGES.split(size)]), logits)


@torch.no_grad()
def test_weights_beside_it(network, tmp_path):
    path = saved(tmp_path / "net.onnx", network, IMAGES[:4])
    alone = form.load(path, SHAPE, "it")
    model = onnx.load(path)
    onnx.save_model(model, str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    found = form.load(path, SHAPE, "it")
    assert torch.equal(found.model(IMAGES), alone.model(IMAGES))
    assert found.sha256 != alone.sha256
    assert found.costs["bytes"] == path.stat().st_size + (tmp_path / "w.bin").stat().st_size


@torch.no_grad()
def test_channels_last(network, tmp_path):
    path = saved(tmp_path / "net.onnx", Transposed(network).eval(), IMAGES[:4].permute(0, 2, 3, 1))
    torch.testing.assert_close(
        form.load(path, SHAPE, "it").model(IMAGES), network(IMAGES), rtol=1e-5, atol=1e-6
    )


@torch.no_grad()
def test_pixels_as_they_are(network, tmp_path):
    pixels = torch.randint(0, 256, (10, *SHAPE), dtype=torch.uint8)
    path = saved(tmp_path / "net.onnx", OfPixels(network).eval(), pixels[:4])
    found = form.load(path, SHAPE, "it")
    assert found.model.takes_pixels
    # Whatever the protocol's normalisation is, it is the network's own that counts.
    forward = Forward(Normalisation((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))
    torch.testing.assert_close(
        forward.logits(found.model, pixels), OfPixels(network)(pixels), rtol=1e-5, atol=1e-6
    )


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-2), (torch.float64, 1e-6)])
def test_other_floats(tmp_path, dtype, tolerance):
    import copy

    linear = nn.Sequential(nn.Flatten(), nn.Linear(192, 10)).eval()  # onnxruntime has no conv of float64
    path = saved(tmp_path / "net.onnx", copy.deepcopy(linear).to(dtype), IMAGES[:4].to(dtype))
    logits = form.load(path, SHAPE, "it").model(IMAGES)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, linear(IMAGES), rtol=tolerance, atol=tolerance)


@torch.no_grad()
def test_logits_among_several_outputs(network, tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, images):
            return images.mean((1, 2, 3)), self.network(images)

    path = tmp_path / "net.onnx"
    torch.onnx.export(Two().eval(), (IMAGES,), str(path), dynamo=False, output_names=["mean", "logits"])
    torch.testing.assert_close(
        form.load(path, SHAPE, "it").model(IMAGES), network(IMAGES), rtol=1e-5, atol=1e-6
    )


def graph(path, nodes, shape, kind=onnx.TensorProto.FLOAT, out=onnx.TensorProto.FLOAT, **opsets):
    """A graph of some nodes, from `x` to `y`."""
    value = helper.make_tensor_value_info
    opsets = [helper.make_opsetid(domain, number) for domain, number in ({"": 17} | opsets).items()]
    made = helper.make_graph(nodes, "g", [value("x", kind, shape)], [value("y", out, None)])
    path.write_bytes(helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString())
    return path


FLAT = helper.make_node("Flatten", ["x"], ["y"])


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ([None, 1, 8, 8], "it: takes float (any, 1, 8, 8), and the data's images are 3x8x8; export it "),
        ([None, 3, 32, 32], "it: takes float (any, 3, 32, 32), and the data's images are 3x8x8"),
        (
            [None, 192],
            "it: takes float (any, 192), which are no images: wanted four dimensions, (N, 3, 8, 8) ",
        ),
    ],
)
def test_other_shapes(tmp_path, shape, says):
    assert refused(graph(tmp_path / "net.onnx", [FLAT], shape)).startswith(says)


def test_other_types(tmp_path):
    path = graph(
        tmp_path / "net.onnx", [FLAT], [None, 3, 8, 8], onnx.TensorProto.INT64, onnx.TensorProto.INT64
    )
    assert refused(path).startswith("it: takes int64 (any, 3, 8, 8); images can be given as float32, ")


def test_whole_numbers_are_no_logits(tmp_path):
    nodes = [helper.make_node("Flatten", ["x"], ["z"]), helper.make_node("ArgMax", ["z"], ["y"], axis=1)]
    path = graph(tmp_path / "net.onnx", nodes, [None, 3, 8, 8], out=onnx.TensorProto.INT64)
    assert "wanted logits, float (N, classes), " in refused(path)


def test_an_operator_that_is_not_there(tmp_path):
    node = helper.make_node("Blur", ["x"], ["y"], domain="com.example")
    path = graph(tmp_path / "net.onnx", [node], [None, 3, 8, 8], **{"com.example": 1})
    assert "needs the operator Blur of com.example, which onnxruntime has not; " in refused(path)


def test_several_inputs(tmp_path):
    value = helper.make_tensor_value_info
    inputs = [value(name, onnx.TensorProto.FLOAT, [None, 3, 8, 8]) for name in "ab"]
    made = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["y"])],
        "g",
        inputs,
        [value("y", onnx.TensorProto.FLOAT, None)],
    )
    path = tmp_path / "net.onnx"
    path.write_bytes(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    assert refused(path) == "it: has 2 inputs (a, b), wanted one: images"


def test_a_graph_that_fails_on_images(tmp_path):
    shape = helper.make_tensor("s", onnx.TensorProto.INT64, [2], [1, 192])
    nodes = [
        helper.make_node("Constant", [], ["s"], value=shape),
        helper.make_node("Reshape", ["x", "s"], ["y"]),
    ]
    path = graph(tmp_path / "net.onnx", nodes, [None, 3, 8, 8])
    assert "onnxruntime fails: " in refused(path)


def test_a_file_that_is_exchanged_while_it_is_loaded(network, tmp_path, monkeypatch):
    path = saved(tmp_path / "net.onnx", network, IMAGES[:2])
    other = saved(tmp_path / "other.onnx", nn.Sequential(*network, nn.Linear(10, 10)), IMAGES[:2])
    session_of = form._session_of

    def exchanged(*args):
        path.write_bytes(other.read_bytes())
        return session_of(*args)

    monkeypatch.setattr(form, "_session_of", exchanged)
    assert refused(path) == "it: changed while it was loaded; run again when whoever writes it is done"
