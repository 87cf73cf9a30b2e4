"""Networks of torchvision and timm, built by their registries: without weights, so nothing is downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.own_code import told
from pytest_prunecal.study import zoo

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


def builder(library: str, name: str, size: tuple[int, int]) -> Callable[..., nn.Module]:
    """What builds a network of a model library, untrained.

    Args:
        library: `torchvision` or `timm`.
        name: by which it registers the network.
        size: height and width of the data's images, for networks that are built for one size.

    Returns:
        Called with `num_classes`; raises PrunecalError if there is no such network, or none for such images.
    """
    make = {"torchvision": _of_torchvision, "timm": _of_timm}[library]

    def build(num_classes: int) -> nn.Module:
        model = f"model '{library}:{name}'"
        # Each family calls it otherwise, or takes images of any size and refuses to be told.
        for sized in ({"img_size": size}, {"image_size": size[0]}, {"input_size": size}, {}):
            try:
                return make(name, num_classes=num_classes, **sized)
            except ImportError as error:
                raise PrunecalError(
                    f"{model}: {library} cannot be imported ({error}): {zoo.pip_command(library)}"
                ) from None
            except TypeError as error:
                if not sized or not any(key in str(error) for key in sized):
                    raise PrunecalError(f"{model}: it cannot be built: {told(error)}") from None
            except Exception as error:  # noqa: BLE001 - whatever such a library raises
                raise PrunecalError(
                    f"{model}: it cannot be built for images of {size[0]}x{size[1]}: {told(error)}; use "
                    "larger images, or a network for small ones"
                ) from None
        raise AssertionError

    return build


def _of_torchvision(name: str, **arguments: Any) -> nn.Module:  # noqa: ANN401 - whatever builders take
    from torchvision.models import get_model  # noqa: PLC0415 - an extra

    if "img_size" in arguments:
        raise TypeError("img_size is timm's word")
    if "image_size" in arguments and not name.startswith("vit"):  # others pass it on, or take it for another
        raise TypeError("image_size is of vision transformers")
    found: nn.Module = get_model(name, weights=None, **arguments)
    return found


def _of_timm(name: str, **arguments: Any) -> nn.Module:  # noqa: ANN401 - whatever builders take
    from timm import create_model  # noqa: PLC0415 - an extra

    if {"image_size", "input_size"} & arguments.keys():
        raise TypeError("image_size and input_size are torchvision's words")
    found: nn.Module = create_model(name, pretrained=False, **arguments)
    return found
