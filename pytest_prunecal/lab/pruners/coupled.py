"""Which channels of any network live and die together, found by Torch-Pruning's dependency graph.

Fang et al. 2023, "DepGraph: Towards Any Structural Pruning" (arXiv 2301.12900). The graph is the library's;
what is ranked, and what is taken out, is decided here.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.forward import logits_of
from pytest_prunecal.lab.models.norms import NORMS
from pytest_prunecal.lab.models.ranked import CONVS
from pytest_prunecal.lab.own_code import told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_KINDS = (*CONVS, nn.Linear, *NORMS, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d)
CUTTABLE: tuple[type[nn.Module], ...] = (*_KINDS, nn.InstanceNorm3d, nn.PReLU, nn.MultiheadAttention)
"""Layers that channels can be taken out of."""
_WIDTHS: tuple[tuple[tuple[type[nn.Module], ...], tuple[str, ...]], ...] = (
    (CONVS, ("out_channels", "in_channels")),
    ((nn.Linear,), ("out_features", "in_features")),
    ((nn.GroupNorm,), ("num_channels",)),
    ((nn.PReLU,), ("num_parameters",)),
    ((nn.MultiheadAttention,), ("embed_dim",)),
    ((*NORMS, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), ("num_features",)),
)
"""What a layer calls its width: of its outputs and of its inputs, where these differ."""
_ATTENDING = ("bmm", "scaleddotproduct", "softmax", "unbind")
"""What operations that mix tokens are called, in part: channels of queries, keys and values reach them."""
_ATTENTION = "attention keeps its heads and their width"
_MOST_VISITS = 64
"""How often new entries may reach a node: a graph that is mistaken about them never ends."""
_MOST_ENTRIES = 2**16
"""How many may reach a node at once, or four times what the widest layer has: windows of attention, which are
cut out of maps, multiply them without end."""


@dataclass(frozen=True, eq=False)
class Part:
    """One side of a layer, or a parameter of the network's own, that loses entries with a group.

    Attributes:
        name: of the layer or the parameter.
        out: whether it loses outputs; else inputs. Norms, depthwise convs and attention lose both.
        dim: of a parameter, along which it loses entries; -1 for a layer.
        index: int64 (n,), its entries.
        root: int64 (n,), the channel of the group that each entry belongs to.
    """

    name: str
    out: bool
    dim: int
    index: Tensor
    root: Tensor


@dataclass(frozen=True, eq=False)
class Coupled:
    """Channels that live and die together, and what goes with them.

    Attributes:
        layer: the name of the layer that makes them; of several, the first.
        units: int64 (k,) each: channels that can only go at once, such as the same place in every group of a
            grouped conv. Where nothing says otherwise each is one channel.
        parts: every layer's side that loses entries.
    """

    layer: str
    units: tuple[Tensor, ...]
    parts: tuple[Part, ...]

    def parts_without(self, removed: Tensor) -> Iterator[tuple[Part, Tensor]]:
        """Each part, and which of its entries go with some channels."""
        for part in self.parts:
            gone = part.index[torch.isin(part.root, removed)]
            if gone.numel():
                yield part, gone


@dataclass
class Layout:
    """What can be taken out of a network.

    Attributes:
        groups: in the order of the graph.
        alone: by name of a layer that keeps its outputs, why.
    """

    groups: list[Coupled]
    alone: dict[str, str] = field(default_factory=dict)


class _Entry(NamedTuple):
    """As the graph's index mappings want entries of a layer."""

    idx: int
    root_idx: int


def torch_pruning(what: str) -> Any:  # noqa: ANN401 - a module without types
    """The library; raises PrunecalError, in which `what` needs it, where it is not installed."""
    try:
        library = import_module("torch_pruning")
    except ImportError as error:
        if error.name != "torch_pruning":
            raise
        raise PrunecalError(
            f"{what} needs Torch-Pruning, which is not installed: pip install 'torch-pruning>=1.6' (or give "
            "the network a method `channel_groups()`)"
        ) from None
    return library


def layout_of(network: nn.Module, example: Tensor, what: str) -> Layout:
    """Find the channels of a network that can be taken out, as far as its structure tells.

    The same for the same architecture: neither the values of its weights nor what the process did before
    take part.

    Args:
        network: left as it is.
        example: float32 (N, 3, H, W), normalised images on the network's device; N is at least 2.
        what: how messages call it.

    Raises:
        PrunecalError: the library is not there, or cannot follow the network.
    """
    library = torch_pruning(what)
    probe = copy.deepcopy(network).requires_grad_(requires_grad=True)
    outputs = _Outputs(probe, example)
    try:
        with torch.enable_grad(), warnings.catch_warnings(), _native_shuffle(probe):
            warnings.simplefilter("ignore")
            graph = library.DependencyGraph().build_dependency(
                probe, example, forward_fn=outputs.run, verbose=False
            )
            return _Reader(library, graph, probe, outputs.shape).layout()
    except Exception as error:
        raise PrunecalError(
            f"{what}: Torch-Pruning cannot follow how {type(network).__name__} computes "
            f"({told(error)}); give it a method `channel_groups()`"
        ) from error


class _Outputs:
    """The outputs of a network that its graph is followed from: in training, if there are more then."""

    def __init__(self, probe: nn.Module, example: Tensor) -> None:
        with torch.no_grad():
            evaluated = _tensors(probe.eval()(example))
            trained = _tensors(probe.train()(example))
        self.training = len(trained) > len(evaluated)
        self.shape: tuple[int, ...] = ()

    def run(self, probe: nn.Module, example: Tensor) -> list[Tensor]:
        output = probe.train(self.training)(example)
        # Through an operation of their own: the graph then has a node that is the logits and no layer.
        logits = logits_of(output) * 1.0
        self.shape = tuple(logits.shape)
        others = [one * 1.0 for one in _tensors(output) if one is not logits_of(output)]
        return [logits, *(one for one in others if one.grad_fn is not None)]


@contextmanager
def _native_shuffle(network: nn.Module) -> Iterator[None]:
    """Have modules shuffle channels by torch's own operation: the library divides by zero at views of maps.

    A graph takes it for one that keeps channels in their places, so what is wrong is found by trying.
    """
    homes = {sys.modules.get(type(module).__module__) for module in network.modules()}
    patched = {home: home.channel_shuffle for home in homes if home and hasattr(home, "channel_shuffle")}
    try:
        for home in patched:
            home.channel_shuffle = functional.channel_shuffle  # type: ignore[attr-defined]
        yield
    finally:
        for home, own in patched.items():
            home.channel_shuffle = own  # type: ignore[attr-defined]


def _tensors(output: object) -> list[Tensor]:
    """Every tensor of floats in what a network returns."""
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    found = (
        output.values() if isinstance(output, dict) else output if isinstance(output, (tuple, list)) else ()
    )
    found = list(found) or list(getattr(output, "__dict__", {}).values())
    return [tensor for one in found for tensor in _tensors(one)]


class _Reader:
    """Reads groups from the library's graph.

    Its own `get_pruning_group` merges entries that several channels share and so forgets which; it also takes
    minutes where many maps are concatenated. Entries are followed here, along its edges.
    """

    def __init__(self, library: Any, graph: Any, network: nn.Module, logits: tuple[int, ...]) -> None:  # noqa: ANN401
        self.graph, self.types, self.logits = graph, library.ops.OPTYPE, list(logits)
        self.names: dict[object, str] = {module: name for name, module in network.named_modules()}
        self.names |= {parameter: name for name, parameter in network.named_parameters()}
        self.network = network
        self.shared = _shared(network)
        widest = max((max(one.shape, default=0) for one in network.parameters()), default=0)
        self.most = max(_MOST_ENTRIES, 4 * widest)

    def layout(self) -> Layout:
        found = Layout([])
        seen: set[str] = set()
        for module in [*self.graph.module2node]:
            if not isinstance(module, (*CONVS, nn.Linear)) or self.names.get(module) in (None, *seen):
                continue
            name = self.names[module]
            parts, made, why = self._followed(module)
            seen |= made
            units = () if why else _units(parts, self.network)
            if why or not units:
                found.alone |= dict.fromkeys(made, why or "its groups of channels cannot get narrower alike")
            else:
                found.groups.append(Coupled(name, units, parts))
        return found

    def _followed(self, module: nn.Module) -> tuple[tuple[Part, ...], set[str], str]:
        """The parts of the group of a layer's outputs, the layers that make it, and why it must stay."""
        pruner = self.graph.get_pruner_of_module(module)
        node = self.graph.module2node[module]
        start = [_Entry(i, i) for i in range(pruner.get_out_channels(module))]
        pending = [(node, pruner.prune_out_channels, start)]
        visited: dict[tuple[int, int], set[tuple[int, int]]] = {}
        visits: Counter[tuple[int, int]] = Counter()
        sides: dict[tuple[str, bool, int], dict[tuple[int, int], None]] = {}
        made: set[str] = set()
        why = ""
        while pending:
            node, handler, entries = pending.pop()
            key = (id(node), hash(handler))
            seen = visited.setdefault(key, set())
            entries = [one for one in entries if (one.idx, one.root_idx) not in seen]
            if not entries:
                continue
            if len(entries) > self.most:
                why = why or "the graph takes its channels for more than any layer has"
                break
            seen.update((one.idx, one.root_idx) for one in entries)
            visits[key] += 1
            if visits[key] > _MOST_VISITS:
                why = why or "the graph leads back to it with other channels"
                break
            why = why or self._why(node)
            name = self.names.get(node.module)
            if name is not None:
                out = self.graph.is_out_channel_pruning_fn(handler)
                dim = node.pruning_dim if isinstance(node.module, nn.Parameter) else -1
                side = sides.setdefault((name, out, dim), {})
                side.update(dict.fromkeys((one.idx, one.root_idx) for one in entries))
                if out and isinstance(node.module, (*CONVS, nn.Linear)):
                    made.add(name)
            try:
                pending += _onward(node, handler, entries)
            except (IndexError, TypeError, ZeroDivisionError):  # of the library's own mappings
                why = why or "the graph cannot follow where its channels go"
        parts = []
        for (name, out, dim), pairs in sides.items():
            index, root = torch.tensor(sorted(pairs), dtype=torch.int64).unbind(1)
            parts.append(Part(name, out, dim, index, root))
            why = why or self._misfit(parts[-1])
        if why == _ATTENTION and any(self._is_attention(part) for part in parts):
            why = ""  # torch's own, which gets narrower as a whole: those are operations within it
        return tuple(parts), made or {self.names[module]}, why

    def _why(self, node: Any) -> str:  # noqa: ANN401
        """Why the channels that reach a node must stay; empty if they need not."""
        if node.type == self.types.OUTPUT and node.module.shape == self.logits:
            return "its outputs are the network's logits"
        operation = node.grad_fn.name().lower() if hasattr(node.grad_fn, "name") else ""
        if node.module not in self.names and any(one in operation for one in _ATTENDING):
            return _ATTENTION
        if isinstance(node.module, nn.Module) and node.module in self.names:
            name = self.names[node.module]
            if not isinstance(node.module, CUTTABLE):
                return f"its channels reach {name}, a {type(node.module).__name__}"
            if name in self.shared:
                return f"its channels reach {name}, whose weight is shared with another layer"
        return ""

    def _is_attention(self, part: Part) -> bool:
        return part.dim < 0 and isinstance(self.network.get_submodule(part.name), nn.MultiheadAttention)

    def _misfit(self, part: Part) -> str:
        """Why entries do not fit their layer; empty if they do."""
        width = width_of(self.network, part)
        if part.index.numel() and int(part.index.max()) >= width:
            return f"its channels are not those that {part.name} has"
        return ""


def _onward(node: Any, handler: Any, entries: list[_Entry]) -> list[tuple[Any, Any, list[_Entry]]]:  # noqa: ANN401
    """Where entries of a node lead to: nodes, what prunes them, and their entries."""
    onward = []
    for edge in node.dependencies:
        if edge.is_triggered_by(handler):
            found = entries
            for mapping in edge.index_mapping:
                found = found if mapping is None else mapping(found)
            if found:
                onward.append((edge.target, edge.handler, found))
    return onward


def _shared(network: nn.Module) -> set[str]:
    """Layers of which a parameter belongs to another layer, too."""
    owners: dict[nn.Parameter, set[str]] = {}
    for name, module in network.named_modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(parameter, set()).add(name)
    return {name for names in owners.values() if len(names) > 1 for name in names}


def width_of(network: nn.Module, part: Part) -> int:
    """How many entries a part's layer has on that side, the removed and the others."""
    if part.dim >= 0:
        return network.get_parameter(part.name).shape[part.dim]
    layer = network.get_submodule(part.name)
    if isinstance(layer, nn.LayerNorm):
        return int(layer.normalized_shape[-1])
    names = next(names for kinds, names in _WIDTHS if isinstance(layer, kinds))
    return int(getattr(layer, names[0 if part.out else -1]))


def is_depthwise(layer: nn.Module) -> bool:
    """Whether a conv makes each channel of one channel alone."""
    return isinstance(layer, CONVS) and 1 < layer.groups == layer.out_channels == layer.in_channels


def period_of(network: nn.Module, part: Part) -> int:
    """After how many entries a layer repeats itself, and each repeat must lose the same; 0 if it does not."""
    layer = network.get_submodule(part.name) if part.dim < 0 else None
    if isinstance(layer, CONVS) and layer.groups > 1 and not is_depthwise(layer):
        return (layer.out_channels if part.out else layer.in_channels) // layer.groups
    if isinstance(layer, nn.GroupNorm):
        return layer.num_channels // layer.num_groups
    if isinstance(layer, nn.MultiheadAttention):
        return int(layer.embed_dim // layer.num_heads)
    return 0


def _units(parts: Iterable[Part], network: nn.Module) -> tuple[Tensor, ...]:
    """Channels that can only go at once; none where a layer would have to lose what the group has not."""
    parts = list(parts)
    channels = int(max(int(part.root.max()) for part in parts)) + 1
    leader = list(range(channels))

    def find(one: int) -> int:
        while leader[one] != one:
            leader[one] = leader[leader[one]]
            one = leader[one]
        return one

    for part in parts:
        period = period_of(network, part)
        first: dict[int, int] = {}
        for index, root in zip(part.index.tolist(), part.root.tolist(), strict=True):
            place = index % period if period else index
            other = find(first.setdefault(place, root))
            one = find(root)
            leader[max(one, other)] = min(one, other)
        if period and part.index.unique().numel() != width_of(network, part):
            return ()
    members: dict[int, list[int]] = {}
    for one in range(channels):
        members.setdefault(find(one), []).append(one)
    return tuple(torch.tensor(found) for found in members.values())
