"""Which weights of a network weight pruning ranks, and sparsity counts."""

from __future__ import annotations

from torch import nn

CONVS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
_LAYERS: tuple[type[nn.Module], ...] = (
    *CONVS,
    *(nn.Linear, nn.Bilinear, nn.MultiheadAttention),
)
_WEIGHTS = ("weight", "in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


def ranked_weights(
    model: nn.Module, layers: tuple[type[nn.Module], ...] | None = None
) -> dict[str, nn.Parameter]:
    """The weights that weight pruning ranks, by the name of the parameter, each once whoever shares it.

    Those of all conv, linear and attention layers; or of the layers that the network's own attribute `RANKED`
    lists, a tuple of module classes: the published networks rank their convs alone, as the paper does. Of
    other layers, where some are given.
    """
    if layers is None:
        layers = getattr(model, "RANKED", _LAYERS)
    found: dict[nn.Parameter, str] = {}
    for prefix, module in model.named_modules():
        if isinstance(module, layers):
            for name in _WEIGHTS:
                weight = getattr(module, name, None)
                if isinstance(weight, nn.Parameter):
                    found.setdefault(weight, f"{prefix}.{name}" if prefix else name)
    return {name: weight for weight, name in found.items()}


def left_out(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of two dimensions and more that are not ranked though nobody said so."""
    if hasattr(model, "RANKED"):
        return {}
    ranked = set(ranked_weights(model).values())
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.ndim > 1 and parameter not in ranked
    }
