"""From the text `package.module:attribute` to what it names."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.store.undisturbed import import_undisturbed

_OURS = f"{__name__.partition('.')[0]}."


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
        # A user's own module may hang where it is imported, and must be stopped then.
        found = import_undisturbed(module) if module.startswith(_OURS) else import_module(module)
    except ImportError as error:
        raise PrunecalError(f"{what}: module {module!r} cannot be imported: {error}") from error
    try:
        return getattr(found, attribute)
    except AttributeError:
        raise PrunecalError(f"{what}: module {module!r} has no {attribute!r}") from None
