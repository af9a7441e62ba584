"""Draws how fast each system is, and where a unit's CPU time goes, as SVG without any library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from race.figures import PROCESSES, Run

_COLOURS = ("#7a8aa0", "#b5462f", "#e0a030", "#6a8f3a", "#3f7f9f", "#35507a", "#9a5fa0")
_LEFT, _WIDE, _ROW, _TOP = 110, 420, 26, 44


def plot(path: Path, found: Mapping[str, Run]) -> None:
    """Write the medians *found*, by system, to *path*."""
    height = _TOP * 2 + 30 + 2 * len(found) * _ROW + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="640" height="{height}" fill="white"/>',
        *_rates(found, _TOP),
        *_costs(found, _TOP * 2 + 30 + len(found) * _ROW),
        "</svg>\n",
    ]
    path.write_text("\n".join(parts))


def _rates(found: Mapping[str, Run], top: float) -> list[str]:
    most = max(run["units_s"] for run in found.values())
    parts = [_text(_LEFT, top - 14, "units per second, from the first placed to the last outcome")]
    for number, (name, run) in enumerate(found.items()):
        y, wide = top + number * _ROW, run["units_s"] / most * _WIDE
        colour = "#b5462f" if name.startswith("rtb") else "#7a8aa0"
        parts += [
            _text(_LEFT - 8, y + 15, name, "end"),
            _bar(_LEFT, y, wide, colour),
            _text(_LEFT + wide + 6, y + 15, f"{run['units_s']:,.0f}"),
        ]
    return parts


def _costs(found: Mapping[str, Run], top: float) -> list[str]:
    most = max(run["cpu_ms_per_unit"] for run in found.values())
    parts = [_text(_LEFT, top - 14, "CPU time per unit, ms, by process")]
    for number, (name, run) in enumerate(found.items()):
        x, y = float(_LEFT), top + number * _ROW
        parts.append(_text(_LEFT - 8, y + 15, name, "end"))
        for colour, process in zip(_COLOURS, PROCESSES, strict=True):
            wide = run["cpu_us_per_unit"].get(process, 0.0) / 1000 / most * _WIDE
            parts.append(_bar(x, y, wide, colour))
            x += wide
        parts.append(_text(x + 6, y + 15, f"{run['cpu_ms_per_unit']:.2f}"))
    y = top + len(found) * _ROW + 14
    for number, (colour, process) in enumerate(zip(_COLOURS, PROCESSES, strict=True)):
        parts += [
            f'<rect x="{20 + number * 88}" y="{y}" width="10" height="10" fill="{colour}"/>',
            _text(34 + number * 88, y + 10, process),
        ]
    return parts


def _bar(x: float, y: float, wide: float, colour: str) -> str:
    height = _ROW - 6
    return f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{height}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
