"""The power that the gate claims against the power that it has, as an SVG picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from records import Point

WIDTH, HEIGHT, MARGIN = 320, 250, 44
INK, PAPER, LINES = "#222", "#fff", ("#0b62a4", "#c2410c")


def picture(curves: dict[str, list[Point]]) -> str:
    """One panel a situation: power predicted (line) and observed (dots) against the size of the effect."""
    panels = [_panel(title, curve, index) for index, (title, curve) in enumerate(curves.items())]
    columns = 2
    rows = -(-len(panels) // columns)
    size = f'width="{columns * WIDTH}" height="{rows * HEIGHT + 30}"'
    view = f'viewBox="0 0 {columns * WIDTH} {rows * HEIGHT + 30}"'
    foot = rows * HEIGHT + 14
    legend = (
        f'<g transform="translate({MARGIN} {foot})">'
        f'<path d="M0 0h24" stroke="{LINES[0]}" stroke-width="2"/><text x="30" y="4">predicted</text>'
        f'<circle cx="112" cy="0" r="3.5" fill="{LINES[1]}"/><text x="122" y="4">observed</text>'
        '<text x="200" y="4">effect: share of the smallest that is caught with 95 %</text></g>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} font-family="sans-serif" font-size="11" '
        f'fill="{INK}"><rect width="100%" height="100%" fill="{PAPER}"/>{"".join(panels)}{legend}</svg>\n'
    )


def _panel(title: str, curve: list[Point], index: int) -> str:
    left, top = MARGIN, 28
    wide, high = WIDTH - MARGIN - 14, HEIGHT - top - 40
    last = curve[-1]["effect"]

    def place(effect: float, power: float) -> tuple[float, float]:
        return left + wide * effect / last, top + high * (1 - power)

    parts = [f'<text x="{left}" y="16" font-weight="bold">{title}</text>']
    for power in (0, 0.25, 0.5, 0.75, 0.95):
        _, y = place(0, power)
        parts.append(f'<path d="M{left} {y:.1f}h{wide}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{power:g}</text>')
    for effect in (0, 0.5, 1, 1.5):
        x, y = place(effect, 0)
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{effect:g}</text>')
    line = " ".join("{:.1f},{:.1f}".format(*place(p["effect"], p["predicted"])) for p in curve)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{LINES[0]}" stroke-width="2"/>')
    for point in curve:
        x, y = place(point["effect"], point["observed"])
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{LINES[1]}"/>')
    x, y = (index % 2) * WIDTH, (index // 2) * HEIGHT
    return f'<g transform="translate({x} {y})">{"".join(parts)}</g>'
