"""Small panels of labelled lines, as an SVG picture; axes start at 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

WIDTH, HEIGHT, COLUMNS = 320, 230, 3
LEFT, TOP, RIGHT, BOTTOM = 46, 30, 30, 42
INK, PAPER, LINES = "#222", "#fff", ("#0b62a4", "#c2410c")


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: above it.
        axis: what the horizontal axis shows.
        series: points by the name of their line, at most two lines.
    """

    title: str
    axis: str
    series: dict[str, list[tuple[float, float]]]


def picture(panels: list[Panel]) -> str:
    """All panels, three in a row."""
    rows = -(-len(panels) // COLUMNS)
    wide, high = COLUMNS * WIDTH, rows * HEIGHT
    drawn = "".join(
        f'<g transform="translate({index % COLUMNS * WIDTH} {index // COLUMNS * HEIGHT})">{_panel(panel)}</g>'
        for index, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}">'
        f'<rect width="100%" height="100%" fill="{PAPER}"/>{drawn}</svg>\n'
    )


def _panel(panel: Panel) -> str:
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    points = [point for line in panel.series.values() for point in line]
    across = _ticks(max(x for x, _ in points))
    up = _ticks(max(y for _, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + wide * x / across[-1], TOP + high * (1 - y / up[-1])

    parts = [f'<text x="{LEFT}" y="16" font-weight="bold">{panel.title}</text>']
    for value in up:
        _, y = place(0, value)
        parts.append(f'<path d="M{LEFT} {y:.1f}h{wide}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,g}</text>')
    for value in across:
        x, y = place(value, 0)
        parts.append(f'<text x="{x:.1f}" y="{y + 15:.1f}" text-anchor="middle">{value:,g}</text>')
    parts.append(f'<text x="{LEFT + wide}" y="{HEIGHT - 10}" text-anchor="end">{panel.axis}</text>')
    placed = {name: [place(x, y) for x, y in line] for name, line in panel.series.items()}
    for colour, (name, line) in zip(LINES, panel.series.items(), strict=False):
        others = [places for other, places in placed.items() if other != name]
        parts += _line(placed[name], [y for _, y in line], colour, below=_just_below(placed[name], others))
        if others:
            parts += _key(name, colour, list(placed).index(name))
    return "".join(parts)


def _just_below(places: list[tuple[float, float]], others: list[list[tuple[float, float]]]) -> bool:
    """Whether a label above a line would meet another line."""
    pairs = [(y, above) for other in others for (_, y), (_, above) in zip(places, other, strict=True)]
    return any(above < y < above + 30 for y, above in pairs)


def _line(places: list[tuple[float, float]], values: list[float], colour: str, *, below: bool) -> list[str]:
    """A line, its dots and their values, on the side of the dots where the line is not."""
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>']
    right = below == (values[-1] >= values[0])
    for (x, y), value in zip(places, values, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
        where = f'x="{x - 3 if right else x + 3:.1f}" y="{y + 15 if below else y - 7:.1f}"'
        anchor = "start" if right else "end"
        parts.append(f'<text {where} text-anchor="{anchor}" fill="{colour}">{_short(value)}</text>')
    return parts


def _key(name: str, colour: str, place: int) -> list[str]:
    """A line's name, in the panel's lower corner."""
    x, y = LEFT + 70 * place, HEIGHT - 10
    return [
        f'<path d="M{x} {y - 4}h14" stroke="{colour}" stroke-width="2"/>',
        f'<text x="{x + 18}" y="{y}">{name}</text>',
    ]


def _short(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ticks(largest: float) -> list[float]:
    """Round numbers from 0 to just beyond the largest value, three to six of them."""
    power = 10 ** math.floor(math.log10(largest))
    step = next(step * power for step in (0.2, 0.25, 0.5, 1, 2, 2.5) if 5 * step * power >= largest * 1.08)
    return [step * count for count in range(math.ceil(largest * 1.08 / step) + 1)]
