"""Draws when each newcomer's first unit started, as SVG without any library."""

from __future__ import annotations

from pathlib import Path

_WIDTH, _HEIGHT, _EDGE = 640, 360, 48


def plot(path: Path, starts: list[int], slots: int) -> None:
    """Write to *path* how many newcomers had a first start by how many completions."""
    bound = slots + round(1.2 * len(starts))
    most = max(starts[-1], bound) * 1.05

    def x(completions: float) -> float:
        return _EDGE + completions / most * (_WIDTH - 2 * _EDGE)

    def y(newcomers: float) -> float:
        return _HEIGHT - _EDGE - newcomers / len(starts) * (_HEIGHT - 2 * _EDGE)

    points = [(x(0), y(0))]
    for number, completions in enumerate(starts, 1):
        points += [(x(completions), points[-1][1]), (x(completions), y(number))]
    steps = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>\n'
        f'<path d="M{_EDGE},{_EDGE}V{_HEIGHT - _EDGE}H{_WIDTH - _EDGE}" fill="none" '
        'stroke="black"/>\n'
        f'<path d="M{x(bound):.1f},{_EDGE}V{_HEIGHT - _EDGE}" stroke="#c33" '
        'stroke-dasharray="4 4"/>\n'
        f'<text x="{x(bound) - 4:.1f}" y="{_EDGE + 12}" text-anchor="end" fill="#c33">'
        f"bound: {bound}</text>\n"
        f'<polyline points="{steps}" fill="none" stroke="#236" stroke-width="2"/>\n'
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 14}" text-anchor="middle">'
        "completions since the newcomers came</text>\n"
        f'<text x="{_EDGE}" y="{_EDGE - 14}">newcomers with a first start, of {len(starts)}, '
        "behind a flood of 100,000 units</text>\n</svg>\n"
    )
