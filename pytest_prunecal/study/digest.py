"""Digests of plain data."""

from __future__ import annotations

import hashlib
import json


def digest(content: object) -> str:
    """SHA-256, in hex, of the canonical JSON form of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
