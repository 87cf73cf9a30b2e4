"""Calling what builds a network, with those of our arguments that it takes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.own_code import told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def call(builder: Callable[..., Any], offered: Mapping[str, Any], what: str) -> Any:  # noqa: ANN401 - a user's
    """Call a builder with those of our arguments that it names, and through `**` the number of classes.

    Args:
        builder: of a network.
        offered: our arguments by name.
        what: how messages call it, such as `model 'net'`.

    Returns:
        Whatever it gives.

    Raises:
        PrunecalError: it takes none of our arguments as it must, or exits.
    """
    try:
        signature = inspect.signature(builder)
    except (TypeError, ValueError):  # some functions of C
        raise PrunecalError(
            f"{what}: its builder does not say which arguments it takes; wrap it in a function"
        ) from None
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    named = {*signature.parameters} | ({"num_classes"} if takes_all else set())
    arguments = {key: value for key, value in offered.items() if key in named}
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise PrunecalError(f"{what}: its builder is given {', '.join(offered)}: {error}") from None
    try:
        return builder(**arguments)
    except SystemExit:  # or pytest would take it for ours
        raise PrunecalError(f"{what}: its builder exits; let it return a network") from None
    except TypeError as error:
        if not any(name in str(error) for name in arguments):
            raise
        # It takes `**` and passes on what another does not take.
        raise PrunecalError(f"{what}: its builder fails: {told(error)}") from None
