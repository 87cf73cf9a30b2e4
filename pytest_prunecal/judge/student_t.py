"""Student's t distribution with whole degrees of freedom, in the closed forms that these have."""

from __future__ import annotations

import math
from functools import lru_cache

_LARGEST = 1e6
_STEPS = 80  # bisection: from 2e6 down to 2e-18


def tail(t: float, freedom: int) -> float:
    """Probability that Student's t exceeds `t` (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4).

    Args:
        t: any finite number.
        freedom: degrees of freedom, >= 1.

    Returns:
        A number in [0, 1], good to 1e-14.

    Example:
        >>> round(tail(2.015, freedom=5), 4)
        0.05
    """
    angle = math.atan2(t, math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = 0.0 if freedom == 1 else term
    for k in range(2 + odd, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return min(max((1 - inside) / 2, 0.0), 1.0)


@lru_cache(maxsize=4096)  # a run asks for a few, many times
def quantile(probability: float, freedom: int) -> float:
    """The t that is exceeded with a probability: the inverse of `tail`.

    Args:
        probability: in (0, 1); below 1e-13 the answer is that of 1e-13, and none exceeds 1e6.
        freedom: degrees of freedom, >= 1.

    Example:
        >>> round(quantile(0.05, freedom=5), 3)
        2.015
    """
    wanted = max(probability, 1e-13)
    low, high = -_LARGEST, _LARGEST
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if tail(middle, freedom) > wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2
