"""What happened to a file that is not what its name says, where git did it."""

from __future__ import annotations

import re

POINTER = b"version https://git-lfs.github.com/spec/"
LFS = "a Git LFS pointer, not the file that it stands for; fetch that with `git lfs pull`"
_OURS = re.compile(rb"^<{7}(?: [^\r\n]*)?\r?$", re.MULTILINE)
_THEIRS = re.compile(rb"^>{7}(?: [^\r\n]*)?\r?$", re.MULTILINE)


def known_cause(content: bytes) -> str:
    """Say what git left in place of a file, and what to do; empty if it left nothing.

    Args:
        content: the file, or at least its first kilobytes.

    Returns:
        What follows the file's name in a sentence: `is a Git LFS pointer …`.
    """
    if content.startswith(POINTER):
        return f"is {LFS}"
    ours = _OURS.search(content)
    if ours and _THEIRS.search(content, ours.end()):
        number = content.count(b"\n", 0, ours.start()) + 1
        return (
            f"holds both sides of a merge (`<<<<<<<` in line {number}); resolve it and commit the file, "
            "or take one side with `git checkout --ours` or `--theirs`"
        )
    return ""
