"""Random numbers that are a pure function of (seed, corruption, severity, image index, position).

A generator with a state would make an image's noise depend on what was drawn before it. Here each number
is a hash of its coordinates (the output function of SplitMix64: Steele, Lea and Flood 2014), and whatever
is derived from it is a table lookup or exact arithmetic, so the bits are the same in any batch.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


@dataclass(frozen=True)
class Draws:
    """A source of draws for N images.

    Every method takes a `stream`, a small number telling apart what one corruption draws, and returns a
    tensor (N, count) on the indices' device.
    """

    key: int
    indices: Tensor

    @classmethod
    def of(cls, seed: int, name: str, severity: int, indices: Tensor) -> Draws:
        """The draws of one corruption at one severity for the images at `indices`, int64 (N,)."""
        key = 0
        for part in (seed, zlib.crc32(name.encode()), severity):
            key = _mix_int(key ^ _mix_int(part + _GAMMA))
        return cls(key, indices)

    def part(self, images: slice) -> Draws:
        """The same source for some of the images."""
        return Draws(self.key, self.indices[images])

    def bits(self, stream: int, count: int) -> Tensor:
        """64 uniform bits each, int64 (N, count)."""
        key = _signed(_mix_int(self.key + (stream + 1) * _GAMMA))
        image_key = _mix(self.indices.unsqueeze(1) * _signed(_GAMMA) + key)
        return _mix(_positions(count, self.indices.device) + image_key)

    def lanes16(self, stream: int, count: int) -> Tensor:
        """Uniform integers 0 ... 65535, int32 (N, count): four from each hash."""
        return self.bits(stream, -(-count // 4)).view(torch.int16)[:, :count].to(torch.int32) + 32768

    def lanes32(self, stream: int, count: int) -> Tensor:
        """Uniform integers -2 ** 31 ... 2 ** 31 - 1, int32 (N, count): two from each hash."""
        return self.bits(stream, -(-count // 2)).view(torch.int32)[:, :count]

    def uniform(self, stream: int, count: int) -> Tensor:
        """Uniform on (0, 1) in steps of 2 ** -16, float32 (N, count)."""
        return (self.lanes16(stream, count).float() + 0.5) * (1 / 65536)

    def normal(self, stream: int, count: int) -> Tensor:
        """Standard normal by 65,536 equally likely quantiles (the largest is 4.3), float32 (N, count)."""
        table = _normal_table(self.indices.device)
        return table.index_select(0, self.lanes16(stream, count).flatten()).view(-1, count)


def _mix(z: Tensor) -> Tensor:
    # torch shifts right arithmetically: the mask makes it the logical shift that the hash means.
    z = z ^ ((z >> 30) & ((1 << 34) - 1))
    z.mul_(_signed(_MULTIPLIERS[0]))
    z ^= (z >> 27) & ((1 << 37) - 1)
    z.mul_(_signed(_MULTIPLIERS[1]))
    z ^= (z >> 31) & ((1 << 33) - 1)
    return z


def _mix_int(z: int) -> int:
    z &= _MASK
    z = ((z ^ (z >> 30)) * _MULTIPLIERS[0]) & _MASK
    z = ((z ^ (z >> 27)) * _MULTIPLIERS[1]) & _MASK
    return z ^ (z >> 31)


def _signed(z: int) -> int:
    z &= _MASK
    return z - (1 << 64) if z >> 63 else z


@lru_cache(maxsize=32)
def _positions(count: int, device: torch.device) -> Tensor:
    return torch.arange(1, count + 1, device=device) * _signed(_GAMMA)


@lru_cache(maxsize=8)
def _normal_table(device: torch.device) -> Tensor:
    middles = (torch.arange(65536, dtype=torch.float64) + 0.5) / 65536
    quantiles: Tensor = torch.special.ndtri(middles)
    return quantiles.float().to(device)
