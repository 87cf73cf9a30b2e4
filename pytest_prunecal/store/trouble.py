"""A store that fails: one sentence that names it, says what is safe, and what to do."""

from __future__ import annotations

import errno

from pytest_prunecal.errors import PrunecalError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_OTHER = "give another with --prunecal-store"


class StoreError(PrunecalError):
    """The store cannot be used, or cannot be written any more."""


def unusable(url: str, error: Exception) -> StoreError:
    """Say that a store cannot be used at all; for the time before anything is measured."""
    return StoreError(f"store {url}: cannot be written ({reason(error)}); {_OTHER}")


def failing(url: str, error: Exception) -> StoreError:
    """Say that a store cannot be written any more, in the middle of a run."""
    what = f"cannot be written ({reason(error)})"
    return StoreError(f"store {url}: {what}; numbers measured so far are safe; {_advice(error)}")


def reason(error: Exception) -> str:
    """An error in one line, without the path that the system puts behind it."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def _advice(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in _FULL or "No space left" in str(error):
        return f"make room there, or {_OTHER}"
    if number in _CLOSED:
        return f"make it writable, or {_OTHER}"
    return f"mend that, or {_OTHER}"
