"""What filter, channel and weight pruning do to networks of torchvision and timm: the table of the docs.

python tests/slow/zoo.py             # makes docs/reference/architectures.md's rows anew
python tests/slow/zoo.py timm:levit_128s
"""

from __future__ import annotations

import copy
import re
import sys
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.models.ranked import ranked_weights
from pytest_prunecal.lab.models.zoo import builder
from pytest_prunecal.lab.pruners import graph, weight
from pytest_prunecal.lab.pruners.cut import masked, without

PAGE = Path(__file__).parents[2] / "docs/reference/architectures.md"
CLASSES = 10
RATIOS = (0.3, 0.5)
NETWORKS = {  # name: height and width of the images, the smallest that do
    **{f"torchvision:{name}": 32 for name in (
        "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "mnasnet0_5", "mnasnet0_75",
        "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf",
        "resnet18", "resnet34", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0",
        "squeezenet1_0", "squeezenet1_1", "vgg11", "vgg11_bn", "vit_b_32",
    )},
    "torchvision:alexnet": 64,
    "torchvision:inception_v3": 299,
    **{f"timm:{name}": 32 for name in (
        "convnext_atto", "convnextv2_atto", "deit_tiny_patch16_224", "efficientnet_lite0", "ghostnet_050",
        "mixer_s32_224", "mobilenetv3_small_050", "mobilenetv4_conv_small", "resnet10t",
        "vit_tiny_patch16_224",
    )},
    **{f"timm:{name}": 64 for name in (
        "edgenext_xx_small", "fastvit_t8", "levit_128s", "mobilevit_xxs", "poolformer_s12", "pvt_v2_b0",
    )},
}  # fmt: skip
SMALLEST = (  # the smallest of each family: the slow test measures these again, and the script all
    *(f"torchvision:{name}" for name in (
        "googlenet", "mnasnet0_5", "mobilenet_v2", "regnet_x_400mf", "shufflenet_v2_x0_5", "squeezenet1_1",
    )),
    *(f"timm:{name}" for name in (
        "convnext_atto", "convnextv2_atto", "efficientnet_lite0", "ghostnet_050", "mixer_s32_224",
        "mobilenetv3_small_050", "resnet10t", "vit_tiny_patch16_224", "edgenext_xx_small", "fastvit_t8",
        "levit_128s", "mobilevit_xxs", "poolformer_s12",
    )),
)  # fmt: skip


def network_of(name: str) -> tuple[nn.Module, torch.Tensor]:
    """A network with random weights, batch norms that differ channel by channel, and two images for it."""
    library, _, model = name.partition(":")
    size = NETWORKS[name]
    draw = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = builder(library, model, (size, size))(CLASSES)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            module.weight.data = torch.rand(module.num_features, generator=draw) + 0.05
    return network.eval(), torch.randn(2, 3, size, size, generator=draw)


def _step(network: nn.Module, images: torch.Tensor) -> None:
    """One step of training; the logits are those of so many classes, before and after."""
    optimiser = torch.optim.SGD(network.parameters(), 1e-3)
    output = network.train()(images)
    logits = output if isinstance(output, torch.Tensor) else output[0]
    assert logits.shape == (2, CLASSES)
    functional.cross_entropy(logits, torch.tensor([1, 2])).backward()
    # Batch norm over two values of a map of one pixel has huge gradients, in the whole network too.
    nn.utils.clip_grad_norm_(network.parameters(), 1.0, error_if_nonfinite=True)
    optimiser.step()
    with torch.no_grad():
        logits = network.eval()(images)
    assert logits.shape == (2, CLASSES)
    assert torch.isfinite(logits).all()


def _structured(network: nn.Module, images: torch.Tensor, ratio: float, rule: str) -> str:
    """Share of the parameters that is left, and a star where much less went than the ratio asks."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cuts = (graph.filter_cuts if rule == "filter" else graph.channel_cuts)(network, ratio, images)
    small = without(network, cuts)
    full = masked(network, cuts, small)
    with torch.no_grad():
        found, wanted = small.eval()(images), full.eval()(images)
    assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()
    left = _count(small) / _count(network)
    _step(small, images)
    less = any("less than half" in str(warning.message) for warning in caught)
    return f"{left:.2f}{'*' if less else ''}"


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _zeros(network: nn.Module, images: torch.Tensor, ratio: float) -> str:
    """Share of the rankable weights that is zero, after a step under the masks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pruned = weight.prune(network, ratio)
    ranked = ranked_weights(pruned.model)
    _step(copy.deepcopy(pruned.model), images)
    zeros = sum(int((values == 0).sum()) for values in ranked.values())
    return f"{zeros / sum(values.numel() for values in ranked.values()):.2f}"


def row_of(name: str) -> str:
    """A network's row of the table."""
    network, images = network_of(name)
    cells = [f"`{name}`", str(NETWORKS[name])]
    cells += [_zeros(network, images, ratio) for ratio in RATIOS]
    for rule in ("filter", "channel"):
        for ratio in RATIOS:
            try:
                cells.append(_structured(network, images, ratio, rule))
            except PrunecalError as error:
                if "this network has none" not in str(error):
                    raise
                cells.append("no batch norm")
    return f"| {' | '.join(cells)} |"


def rows_of_page() -> dict[str, str]:
    """The rows that the docs have, by network."""
    found = re.findall(r"^\| `([\w.]+:\w+)` \|.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return {name: next(line for line in lines if line.startswith(f"| `{name}` |")) for name in found}


def main(names: list[str]) -> None:
    """Measure networks, and put their rows into the page."""
    torch.set_num_threads(1)
    rows = rows_of_page()
    for name in names or NETWORKS:
        try:
            rows[name] = row_of(name)
        except Exception as error:  # noqa: BLE001 - the others are measured all the same
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201
            continue
        print(rows[name], flush=True)  # noqa: T201
        text = PAGE.read_text(encoding="utf-8")
        kept = [line for line in text.splitlines() if not line.startswith(("| `torchvision:", "| `timm:"))]
        at = next(number for number, line in enumerate(kept) if line.startswith("| ---")) + 1
        kept[at:at] = [rows[one] for one in NETWORKS if one in rows]
        PAGE.write_text("\n".join(kept) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
