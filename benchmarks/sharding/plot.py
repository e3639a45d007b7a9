"""
Takes the newest record of all rows, draws its ratios into `docs/explanation/`.

A bar for each way that the sharded alias is measured beside: to the right where the
sharded alias takes longer, on a scale where twice is as far as half. As narrow as a
telephone, and with a background of its own, light or dark.
"""

import json
import math
from collections.abc import Iterator, Mapping
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.record import FOLDER
from benchmarks.sharding.floor import IN_ONE_PROCESS
from benchmarks.sharding.planning import ALONE

DRAWING = Path(__file__).parents[2] / "docs/explanation/sharding.svg"
WIDTH, LINE, GAP = 360, 16, 12
TOP, BOTTOM = 68, 12
LEFT, RIGHT = 160, 316
"""Between these are the bars, before them names, behind them numbers."""
LEAST, MOST = 1 / 8, 8
TICKS = {1 / 4: "¼", 1 / 2: "½", 1: "1", 2: "2", 4: "4"}
STYLE = """
text { font: 11px system-ui, sans-serif; fill: #1b1f24 }
.work { font-weight: 600; stroke: #ffffff; stroke-width: 4; paint-order: stroke }
.number, .name { fill: #57606a }
.name { text-anchor: end }
.scale { fill: #57606a; text-anchor: middle }
.ground { fill: #ffffff }
.tick { stroke: #d8dee4 }
.one { stroke: #57606a }
.bar { fill: #6e7781 }
.met { fill: #1a7f37 }
.missed { fill: #cf222e }
.target { stroke: #1b1f24; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.work { stroke: #131416 }
.number, .name, .scale { fill: #9aa4af }
.ground { fill: #131416 }
.tick { stroke: #30363d }
.one { stroke: #9aa4af }
.bar { fill: #7d8590 }
.met { fill: #3fb950 }
.missed { fill: #f85149 }
.target { stroke: #e6edf3 }
}
"""


def draw(rows: int) -> Path:
    """Draw the newest record of so many rows, and return where."""
    records = (FOLDER / "sharding.jsonl").read_text("utf-8").splitlines()
    found = [json.loads(line) for line in records]
    newest = [one for one in found if one["results"]["rows"] == rows][-1]
    DRAWING.write_text(drawn(newest["results"]["lines"]), encoding="utf-8")
    return DRAWING


def drawn(lines: list[Mapping[str, Any]]) -> str:
    """Return the drawing as SVG. Pure."""
    shown = [line for line in lines if _is_shown(line)]
    parts, y = list[str](), TOP
    for work, group in groupby(shown, key=lambda line: line["work"]):
        parts.append(_text(8, y + GAP, "work", work))
        y += GAP + 2
        for line in group:
            y += LINE
            parts += _bar(line, y)
        y += GAP
    height = y + BOTTOM
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH * 3 // 2}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        "<title>How long a sharded alias takes, beside other ways</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>',
        _text(8, 18, "work", "Time of the sharded alias, beside other ways"),
        _text(8, 34, "number", "Short line: the target. Green: met. Red: missed."),
        *_scale(height - BOTTOM),
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def _is_shown(line: Mapping[str, Any]) -> bool:
    return not line["work"].endswith(ALONE) and line["against"] != IN_ONE_PROCESS


def _scale(bottom: float) -> Iterator[str]:
    yield _text(8, TOP - 14, "number", "how many times as long")
    for ratio, shown in TICKS.items():
        x = _x(ratio)
        kind = "one" if ratio == 1 else "tick"
        yield _text(x, TOP - 14, "scale", shown)
        yield f'<path class="{kind}" d="M{x} {TOP - 8}V{bottom}"/>'


def _bar(line: Mapping[str, Any], y: float) -> Iterator[str]:
    yield _text(LEFT - 6, y, "name", line["against"])
    ratio = _ratio(line)
    if ratio is None:
        wrong = "wrong" if line["wrong"] else line["refused"] or ""
        yield _text(RIGHT + 4, y, "number", wrong)
        return
    kind = {True: "bar met", False: "bar missed", None: "bar"}[line["met"]]
    begin, end = sorted((_x(1), _x(ratio)))
    size = f'x="{begin}" y="{y - 9}" width="{max(end - begin, 1):.1f}" height="10"'
    yield f'<rect class="{kind}" {size}/>'
    if line["target"]:
        yield f'<path class="target" d="M{_x(_limit(line["target"]))} {y - 11}v14"/>'
    yield _text(RIGHT + 4, y, "number", f"{ratio:.2f}")


def _ratio(line: Mapping[str, Any]) -> float | None:
    """Return time by time, or size by size, also where the target is of rates."""
    unit = "MB" if "sharded_MB" in line else "ms"
    ours, other = line[f"sharded_{unit}"], line[f"other_{unit}"]
    return ours / other if ours and other else None


def _limit(target: str) -> float:
    """Return the target as a limit on the time."""
    sign, limit, *_ = target.split()
    return float(limit) if sign == "≤" else 1 / float(limit)


def _x(ratio: float) -> float:
    """Return where a ratio is, on a scale of logarithms."""
    inside = min(max(ratio, LEAST), MOST)
    share = math.log(inside / LEAST) / math.log(MOST / LEAST)
    return round(LEFT + share * (RIGHT - LEFT), 1)


def _text(x: float, y: float, kind: str, text: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'
