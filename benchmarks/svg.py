"""A chart of latency against offered load, as SVG that reads on light and dark pages alike."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 880, 520
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 116, 64
LOWEST, HIGHEST = 0.1, 1000.0  # milliseconds
_X_TICKS = 8
_LETTER = 7.6  # a generous width

_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #3d4451; }
.title { font-size: 18px; font-weight: 600; fill: #14181f; }
.grid { stroke: #d9dde4; stroke-width: 1; }
.axis { stroke: #8a93a3; stroke-width: 1; }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round; }
.p99 { stroke-dasharray: 2 6; }
.plain { stroke: #6b7484; }
.c0 { stroke: #1d5fd1; } .d0 { fill: #1d5fd1; }
.c1 { stroke: #b4540a; } .d1 { fill: #b4540a; }
@media (prefers-color-scheme: dark) {
  text { fill: #b3bccb; }
  .title { fill: #f0f3f8; }
  .grid { stroke: #333b48; }
  .axis { stroke: #6d7788; }
  .plain { stroke: #98a2b3; }
  .c0 { stroke: #6ea8ff; } .d0 { fill: #6ea8ff; }
  .c1 { stroke: #f0a35a; } .d1 { fill: #f0a35a; }
}
"""


@dataclass(frozen=True, slots=True)
class Point:
    """Milliseconds at a percentile while so many requests a second are offered."""

    rate: float
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A server's points, by rising rate."""

    name: str
    points: Sequence[Point]


def chart(curves: Sequence[Curve], *, title: str, notes: Sequence[str]) -> str:
    """The whole picture; at most two curves have a colour of their own."""
    most = max(point.rate for curve in curves for point in curve.points)
    step = tick_step(most)
    across = Across(math.ceil(most / step) * step, step)
    parts = [_head(title), *_titles(title, notes), *_legend(curves), *_down(), *_along(across)]
    for number, curve in enumerate(curves):
        parts += _drawn(curve, number, across)
    return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class Across:
    """The horizontal axis: from nothing to `most` requests a second."""

    most: float
    step: float

    def x(self, rate: float) -> float:
        """Where a rate is."""
        return LEFT + (WIDTH - LEFT - RIGHT) * rate / self.most

    def ticks(self) -> Iterator[float]:
        """The rates that have a number."""
        return (self.step * number for number in range(round(self.most / self.step) + 1))


def y(milliseconds: float) -> float:
    """Where a latency is, on a logarithmic axis; what is beyond the axis lies beyond the picture's frame."""
    share = math.log10(max(milliseconds, LOWEST / 10) / LOWEST) / math.log10(HIGHEST / LOWEST)
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share


def tick_step(most: float) -> float:
    """The round distance between ticks (1, 2 or 5 times a power of ten) that gives at most eight of them."""
    power = 10.0 ** math.floor(math.log10(most / _X_TICKS))
    return next(power * factor for factor in (1, 2, 5, 10) if most / (power * factor) <= _X_TICKS)


def _head(title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(title)}">\n<style>{_STYLE}</style>\n'
        f'<clipPath id="frame"><rect x="{LEFT - 6}" y="{TOP}" width="{WIDTH - LEFT - RIGHT + 12}" '
        f'height="{HEIGHT - TOP - BOTTOM}"/></clipPath>'
    )


def _titles(title: str, notes: Sequence[str]) -> Iterator[str]:
    yield _text(LEFT, 30, title, anchor="start", kind="title")
    for number, note in enumerate(notes):
        yield _text(LEFT, 52 + 18 * number, note, anchor="start")


def _legend(curves: Sequence[Curve]) -> Iterator[str]:
    """Colours say whose line it is, strokes which percentile."""
    servers = [(f"c{number}", curve.name) for number, curve in enumerate(curves)]
    x = float(LEFT)
    for kind, label in (*servers, ("p50 plain", "median"), ("p99 plain", "99th percentile")):
        yield f'<path class="line {kind}" d="M{x:.0f} {TOP - 24}h28"/>'
        yield _text(x + 36, TOP - 19.5, label, anchor="start")
        x += 36 + _LETTER * len(label) + 22


def _down() -> Iterator[str]:
    """The vertical axis: a line for each power of ten."""
    for power in range(round(math.log10(LOWEST)), round(math.log10(HIGHEST)) + 1):
        height = y(10.0**power)
        yield f'<path class="grid" d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}"/>'
        yield _text(LEFT - 10, height + 4.5, f"{10.0**power:,g} ms", anchor="end")


def _along(across: Across) -> Iterator[str]:
    floor = HEIGHT - BOTTOM
    yield f'<path class="axis" d="M{LEFT} {floor}H{WIDTH - RIGHT}"/>'
    for rate in across.ticks():
        yield f'<path class="axis" d="M{across.x(rate):.1f} {floor}v6"/>'
        yield _text(across.x(rate), floor + 22, f"{rate:,.0f}", anchor="middle")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "offered load, requests a second", anchor="middle")


def _drawn(curve: Curve, number: int, across: Across) -> Iterator[str]:
    yield '<g clip-path="url(#frame)">'
    for kind, times in (("p50", [one.p50 for one in curve.points]), ("p99", [one.p99 for one in curve.points])):
        places = [(across.x(one.rate), y(time)) for one, time in zip(curve.points, times, strict=True)]
        yield f'<path class="line {kind} c{number}" d="{_path(places)}"/>'
        yield from (f'<circle class="d{number}" cx="{x:.1f}" cy="{height:.1f}" r="3.2"/>' for x, height in places)
    yield "</g>"


def _path(places: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {height:.1f}" for x, height in places)


def _text(x: float, height: float, words: str, *, anchor: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x:.1f}" y="{height:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
