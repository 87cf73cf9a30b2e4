"""The power that the gate claims against the power that it has, as an SVG picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from records import Point

WIDTH, HEIGHT, MARGIN = 320, 290, 44
INK, PAPER, LINES = "#222", "#fff", ("#0b62a4", "#c2410c")


def picture(found: dict[str, list[Point]]) -> str:
    """One panel a kind of comparison: observed against claimed, and the line on which both agree."""
    panels = [_panel(title, points, index) for index, (title, points) in enumerate(found.items())]
    wide = len(panels) * WIDTH
    size = f'width="{wide}" height="{HEIGHT}" viewBox="0 0 {wide} {HEIGHT}"'
    font = f'font-family="sans-serif" font-size="11" fill="{INK}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>'
        f'<rect width="100%" height="100%" fill="{PAPER}"/>{"".join(panels)}</svg>\n'
    )


def _panel(title: str, points: list[Point], index: int) -> str:
    left, top = MARGIN, 28
    wide, high = WIDTH - MARGIN - 14, HEIGHT - top - 44

    def place(claimed: float, observed: float) -> tuple[float, float]:
        return left + wide * claimed, top + high * (1 - observed)

    parts = [f'<text x="{left}" y="16" font-weight="bold">{title}</text>']
    for power in (0, 0.25, 0.5, 0.75, 0.95):
        _, y = place(0, power)
        x, foot = place(power, 0)
        parts.append(f'<path d="M{left} {y:.1f}h{wide}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{power:g}</text>')
        parts.append(f'<text x="{x:.1f}" y="{foot + 16:.1f}" text-anchor="middle">{power:g}</text>')
    parts.append(f'<text x="{left}" y="{top + high + 34}">claimed; observed upwards</text>')
    ends = " ".join("{:.1f},{:.1f}".format(*place(end, end)) for end in (0, 1))
    parts.append(f'<polyline points="{ends}" fill="none" stroke="{LINES[0]}" stroke-width="2"/>')
    for point in points:
        x, y = place(point["claimed"], point["observed"])
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{LINES[1]}"/>')
    return f'<g transform="translate({index * WIDTH} 0)">{"".join(parts)}</g>'
