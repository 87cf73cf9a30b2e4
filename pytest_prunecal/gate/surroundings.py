"""Which options of pytest's own a command must repeat to find the same configuration and plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONG = ("--config-file", "--rootdir", "--override-ini")
_SHORT = ("-c", "-o", "-p")
_LEFT_OUT = "no:"


def surroundings(arguments: Iterable[str]) -> tuple[str, ...]:
    """Pick them out of a command line, as they were typed; plugins that it leaves out define nothing.

    Args:
        arguments: of pytest, without its name.

    Example:
        >>> surroundings(["-c", "gate.ini", "-p", "no:xdist", "-x", "--rootdir=.", "-pnets"])
        ('-c', 'gate.ini', '--rootdir=.', '-pnets')
    """
    found: list[str] = []
    rest = iter(map(str, arguments))
    for argument in rest:
        if argument in (*_LONG, *_SHORT):
            value = next(rest, "")
            if argument != "-p" or not value.startswith(_LEFT_OUT):
                found += [argument, value]
        elif argument.startswith(tuple(f"{name}=" for name in _LONG)) or (
            argument.startswith(_SHORT) and not argument.startswith(f"-p{_LEFT_OUT}")
        ):
            found.append(argument)
    return tuple(found)
