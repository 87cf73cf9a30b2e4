"""From the text `package.module:attribute` to what it names."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pytest_prunecal.errors import PrunecalError


def resolve(entry: Any, what: str) -> Any:  # noqa: ANN401 - whatever the user's module holds
    """Import what an entry names; anything but a text is already it.

    Args:
        entry: `package.module:attribute`, or the object itself.
        what: how a message calls it, such as `model 'vgg19'`.

    Raises:
        PrunecalError: it is not of this form, the module cannot be imported, or has no such attribute.
    """
    if not isinstance(entry, str):
        return entry
    module, _, attribute = entry.partition(":")
    if not attribute or not module or module.startswith("."):
        raise PrunecalError(f"{what}: {entry!r} names nothing to import; write `package.module:attribute`")
    try:
        found = import_module(module)
    except ImportError as error:
        raise PrunecalError(f"{what}: module {module!r} cannot be imported: {error}") from error
    try:
        return getattr(found, attribute)
    except AttributeError:
        raise PrunecalError(f"{what}: module {module!r} has no {attribute!r}") from None
