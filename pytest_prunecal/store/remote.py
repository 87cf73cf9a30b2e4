"""Entries at a URL, which machines share."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING

from pytest_prunecal.store.trouble import reason, unusable
from pytest_prunecal.study.whole_file import PARTIAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ABANDONED = 7 * 24 * 3600
"""Seconds after which an upload that has not ended never will."""


class Remote:
    """What lies at a URL.

    Args:
        url: an fsspec URL such as `s3://bucket/prunecal`.

    Raises:
        StoreError: there is no such driver, it is not installed, or it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        if not url.partition("://")[0]:
            raise unusable(url, ValueError("no scheme stands before ://"))
        try:
            fsspec = import_module("fsspec")  # slow to import, and most stores are folders
            self.files, self._root = fsspec.core.url_to_fs(url)
        except Exception as error:  # noqa: BLE001 - each driver has errors of its own
            raise unusable(url, error) from None
        self._url = url
        self._swept: set[str] = set()

    def check_writable(self) -> None:
        """Try to write; raises StoreError if nothing can be written there."""
        trial = f"{self._root}/{secrets.token_hex(8)}{PARTIAL}"
        try:
            self.files.makedirs(self._root, exist_ok=True)
            self.files.pipe_file(trial, b"written to see whether it can be")
        except Exception as error:  # noqa: BLE001 - each driver has errors of its own
            raise unusable(self._url, error) from None
        with suppress(Exception):  # who may not delete may still share
            self.files.rm_file(trial)

    def get(self, place: str, path: Path) -> None:
        """Bring one here; raises an OSError if it cannot be brought."""
        with _as_oserror():
            self.files.get_file(self._address(place), str(path))

    def has(self, place: str) -> bool:
        """Whether there is one; raises an OSError if that cannot be asked."""
        with _as_oserror():
            return bool(self.files.exists(self._address(place)))

    def put(self, path: Path, place: str) -> None:
        """Upload under a passing name, then rename, so that no other machine reads half a file.

        Raises:
            OSError: it cannot be uploaded; nothing is left.
        """
        address = self._address(place)
        passing = f"{address}.{secrets.token_hex(8)}{PARTIAL}"
        with _as_oserror():
            self.files.makedirs(address.rpartition("/")[0], exist_ok=True)
            try:
                self.files.put_file(str(path), passing)
                self.files.mv(passing, address)
            except BaseException:
                with suppress(Exception):
                    self.files.rm_file(passing)
                raise
        self._sweep(address.rpartition("/")[0])

    def _address(self, place: str) -> str:
        return f"{self._root}/{place}"

    def _sweep(self, folder: str) -> None:
        """Remove what killed processes left in a folder, once in a process, if the driver can do that."""
        if folder in self._swept:
            return
        self._swept.add(folder)
        with suppress(Exception):
            for left in self.files.glob(f"{folder}/*{PARTIAL}"):
                if time.time() - self.files.modified(left).timestamp() > _ABANDONED:
                    self.files.rm_file(left)


@contextmanager
def _as_oserror() -> Iterator[None]:
    """Each driver has errors of its own; whoever stores things knows one kind."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {reason(error)}") from error
