"""Networks as people have them: each works, or one sentence says why not before anything is trained."""

from __future__ import annotations

import pytest
from safetensors import safe_open

WORKING = '''\
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional


class Plain(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, num_classes)

    def features(self, images):
        return torch.relu(self.second(torch.relu(self.first(images)))).mean((2, 3))

    def forward(self, images):
        return self.head(self.features(images))


class Mapping(Plain):
    def forward(self, images):
        return {"features": self.features(images), "logits": super().forward(images)}


class Object(Plain):
    def forward(self, images):
        return SimpleNamespace(loss=None, logits=super().forward(images))


class Auxiliary(Plain):
    """Two heads while it is trained, as Inception and GoogLeNet have."""

    def forward(self, images):
        logits = super().forward(images)
        return (logits, 2 * logits) if self.training else logits


class Several(Plain):
    def forward(self, images):
        return [super().forward(images), "and more"]


class Tied(Plain):
    """Three convs, two weights."""

    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.third = nn.Conv2d(6, 6, 3, padding=1)
        self.third.weight = self.second.weight

    def features(self, images):
        return torch.relu(self.third(torch.relu(self.second(torch.relu(self.first(images)))))).mean((2, 3))


class Repeated(Plain):
    """One module under two names."""

    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.again = self.second

    def features(self, images):
        return self.again(super().features(images)[:, :, None, None]).flatten(1)


class Viewed(Plain):
    """Two parameters in one memory."""

    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.second.bias = nn.Parameter(self.first.bias.detach()[:6])


def mlp(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 12), nn.ReLU(), nn.Linear(12, num_classes))


def lazy(num_classes):
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(num_classes))


class Transformer(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.position = nn.Parameter(torch.zeros(1, 4, 16))
        self.block = nn.TransformerEncoderLayer(16, 2, 32, 0.1, batch_first=True)
        self.head = nn.Linear(16, num_classes)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.position
        return self.head(self.block(tokens).mean(1))


def passing_on(**options):
    assert set(options) == {"num_classes"}
    return Plain(**options)


def naming(width, **options):
    assert (type(width), set(options)) == (float, {"num_classes"})
    return Plain(**options)


ONE = Plain()


def the_same_again():
    return ONE
'''
REFUSED = """\
import threading

import torch
from nets import Plain
from torch import nn
from torch.nn.utils import parametrizations, prune


def few():
    return Plain(5)


def parametrised():
    network = Plain()
    parametrizations.weight_norm(network.second)
    return network


def spectral():
    network = Plain()
    parametrizations.spectral_norm(network.head)
    return network


def old_weight_norm():
    network = Plain()
    nn.utils.weight_norm(network.second)
    return network


def masked():
    network = Plain()
    prune.l1_unstructured(network.first, "weight", 0.5)
    return network


def exits():
    raise SystemExit(3)


def half():
    return Plain().half()


def double():
    return Plain().double()


def frozen():
    return Plain().requires_grad_(False)


class Words(Plain):
    def forward(self, images):
        return "a cat"


class Unnamed(Plain):
    def forward(self, images):
        return {"scores": super().forward(images), "boxes": None}


class Classes(Plain):
    def forward(self, images):
        return super().forward(images).argmax(1)


class Maps(Plain):
    def forward(self, images):
        return self.first(images)


class Squeezed(Plain):
    def forward(self, images):
        return super().forward(images).squeeze()


class Infinite(Plain):
    def forward(self, images):
        return super().forward(images) / 0


class Broken(Plain):
    def forward(self, images):
        return self.look_up(super().forward(images))

    def look_up(self, logits):
        return logits @ torch.eye(7, device=logits.device)


class Detached(Plain):
    def forward(self, images):
        return super().forward(images).detach()


class Backwards(Plain):
    def forward(self, images):
        logits = super().forward(images)
        exped = logits.exp()
        exped.mul_(2)
        return exped


class Locked(Plain):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


def never_run():
    network = Plain()
    network.other = nn.LazyLinear(3)
    return network
"""


def _line(text):
    """Where a text stands."""
    return REFUSED[: REFUSED.index(text)].count("\n") + 1


LOGITS = (
    "wanted logits, float (N, classes), alone, as `logits` of a mapping or an object, or first in a tuple"
)
SAYS = {
    "few": "it gives 5 logits an image, and the data have 10 classes; let the builder take "
    "`num_classes` and use it",
    "parametrised": "layer 'second' has a parametrised weight, which cannot be pruned; end the builder with "
    "torch.nn.utils.parametrize.remove_parametrizations(network.get_submodule('second'), 'weight')",
    "spectral": "layer 'head' has a parametrised weight, which cannot be pruned; end the builder with "
    "torch.nn.utils.parametrize.remove_parametrizations(network.get_submodule('head'), 'weight')",
    "old_weight_norm": "layer 'second' has a weight that WeightNorm computes, which cannot be pruned; end "
    "the builder with torch.nn.utils.remove_weight_norm(network.get_submodule('second'), 'weight')",
    "masked": "layer 'first' has a weight that L1Unstructured computes, which cannot be pruned; end "
    "the builder with torch.nn.utils.prune.remove(network.get_submodule('first'), 'weight')",
    "exits": "its builder exits; let it return a network",
    "half": "first.weight is float16, and networks are trained in float32; return it so (`precision: "
    "bfloat16` in the protocol computes in half precision)",
    "double": "first.weight is float64, and networks are trained in float32; return it so (`precision: "
    "bfloat16` in the protocol computes in half precision)",
    "frozen": "its logits depend on no parameter that can be trained (requires_grad, no_grad)",
    "Words": f"{LOGITS}; got a str",
    "Unnamed": f"{LOGITS}; got a dict with scores, boxes",
    "Classes": f"{LOGITS}; got int64 (2,)",
    "Maps": "wanted logits, float (2, 10), of 2 images, got float32 (2, 6, 8, 8) when evaluated",
    "Squeezed": "wanted logits, float (1, 10), of 1 images, got float32 (10,) when evaluated",
    "Infinite": "its logits are NaN or infinite",
    "Broken": "it fails on 2 images of 3x8x8: RuntimeError: mat1 and mat2 shapes cannot be multiplied "
    f"(2x10 and 7x7) (refused.py:{_line('logits @')}, in look_up)",
    "Detached": "its logits depend on no parameter that can be trained (requires_grad, no_grad)",
    "Backwards": "its backward pass fails: RuntimeError: one of the variables needed for gradient "
    "computation has been modified by an inplace operation",
    "Locked": "copy.deepcopy of the network fails: TypeError: cannot pickle '_thread.lock' object",
    "never_run": "other.weight is lazy, and running images gives it no shape; give it one",
}
WORKS = (
    *(
        "Mapping",
        "Object",
        "Auxiliary",
        "Several",
        "Tied",
        "Repeated",
        "Viewed",
        "mlp",
        "lazy",
        "Transformer",
    ),
    *("passing_on", "naming", "the_same_again"),
)


def run(project, module, names, *options):
    project.write({"nets.py": WORKING, "refused.py": REFUSED})
    models = ",".join(f"{module}:{name}" for name in names)
    return project.run(f"--prunecal-models={models}", "--prunecal-update", "--prunecal-store=kept", *options)


def of(found, module, name, cell):
    """What is known of a model's cell."""
    (one,) = (
        value for nodeid, value in found.items() if nodeid.endswith(f"/{module}.{name}.yaml::prune[{cell}]")
    )
    return one


def test_networks_that_work_whatever_they_return_and_share(project):
    outcome = run(project, "nets", WORKS, "--prunecal-pruners=weight", "--prunecal-ratios=0,0.5")
    assert set(outcome.watcher.outcomes.values()) == {"passed"}, outcome.text
    assert len(outcome.watcher.outcomes) == 2 * len(WORKS)
    assert "position out (64 values)" in outcome.out
    texts = [(project.path / f"baselines/tiny/nets.{name}.yaml").read_text() for name in WORKS]
    for text in texts:
        dense, pruned = text.split("  weight-0.5:")
        assert "sparsity: 0.0000" in dense
        found = float(pruned.partition("sparsity: ")[2].split()[0])
        assert 0.5 <= found < 0.51
    # And again, from what was stored.
    again = run(project, "nets", WORKS, "--prunecal-pruners=weight", "--prunecal-ratios=0,0.5")
    assert set(again.watcher.outcomes.values()) == {"passed"}


def test_a_shared_tensor_is_stored_and_counted_once(project):
    outcome = run(project, "nets", ["Tied"], "--prunecal-ratios=0")
    assert outcome.ret == 0
    assert outcome.numbers["prune[dense]"]["parameters"] == (3 * 6 + 6 * 6) * 9 + 3 * 6 + 6 * 10 + 10
    (file,) = (project.path / "kept/base").glob("*.safetensors")
    with safe_open(file, "pt") as kept:
        assert {"second.weight", "third.weight"} & {*kept.keys()} == {"second.weight"}
        assert "third.bias" in kept.keys()  # noqa: SIM118 - it is no mapping


def test_networks_that_do_not_are_told_so_in_a_sentence_before_anything_is_trained(project):
    outcome = run(project, "refused", SAYS, "--prunecal-ratios=0")
    assert outcome.ret == 1
    for name, says in SAYS.items():
        text = of(outcome.watcher.messages, "refused", name, "dense")
        assert text.startswith(f"model 'refused:{name}': {says}"), text
        assert len(text.splitlines()) == 1
    assert not (project.path / "kept/base").exists()
    assert not (project.path / "baselines").exists()


@pytest.mark.parametrize("name", ["mlp", "Transformer", "Plain"])
def test_structured_pruning_that_cannot_be_says_so_before_the_base_is_trained(project, name):
    outcome = run(project, "nets", [name], "--prunecal-pruners=channel", "--prunecal-ratios=0.5")
    assert set(outcome.watcher.outcomes.values()) == {"failed"}
    message = outcome.message("channel-0.5")
    assert message.startswith("channel pruning of ")
    assert "this network has none; prune its filters or weights instead" in message
    assert len(message.splitlines()) == 1
    assert not (project.path / "kept/base").exists()


DEPTHWISE = """\
import torch
from torch import nn


class Depthwise(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.dw, self.b2 = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8)
        self.pw, self.fc = nn.Conv2d(8, 8, 1), nn.Linear(8, num_classes)

    def forward(self, x):
        x = torch.relu(self.b1(self.c1(x)))
        return self.fc(torch.relu(self.pw(self.b2(self.dw(x)))).mean((2, 3)))


def depthwise(num_classes):
    return Depthwise(num_classes)
"""


def test_filters_and_channels_of_a_network_that_declares_no_groups(project):
    pytest.importorskip("torch_pruning")
    project.write({"mobile.py": DEPTHWISE})
    outcome = run(
        *(project, "mobile", ["depthwise"], "--prunecal-pruners=filter,channel", "--prunecal-ratios=0.5"),
        *("-n", "2"),
    )
    assert outcome.ret == 0, outcome.text
    found = {cell: numbers["parameters"] for cell, numbers in outcome.numbers.items()}
    left = 3 * 4 * 9 + 4 + 4 * 9 + 4 + 4 * 4 + 4 + 4 * 10 + 10 + 2 * 2 * 4
    assert found["prune[filter-0.5]"] == left
    assert found["prune[channel-0.5]"] < left * 2


GROUPED = """\
from nets import Plain, Tied

from pytest_prunecal import ChannelGroup


class Shared(Tied):
    def channel_groups(self):
        return [ChannelGroup(producer="second", consumers=("third",))]


class Wrong(Plain):
    def channel_groups(self):
        return [ChannelGroup(producer="first", consumers=("head",))]


class Texts(Plain):
    def channel_groups(self):
        return ["first"]
"""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "Shared",
            "second.weight and third.weight are one tensor, and filter and channel pruning cannot take ",
        ),
        (
            "Wrong",
            "'grouped:Wrong' as pruner 'filter' left it: it fails on 2 images of 3x8x8: RuntimeError: ",
        ),
        (
            "Texts",
            "channel_groups() of Texts returned a str among its groups; wanted pytest_prunecal.Channel",
        ),
    ],
)
def test_groups_that_do_not_fit_are_told_before_the_base_is_trained(project, name, says):
    project.write({"grouped.py": GROUPED})
    outcome = run(project, "grouped", [name], "--prunecal-pruners=filter", "--prunecal-ratios=0.5")
    assert outcome.message("filter-0.5").startswith(says), outcome.text
    assert len(outcome.message("filter-0.5").splitlines()) == 1
    assert not (project.path / "kept/base").exists()
