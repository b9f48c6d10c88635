"""The results as a picture: a panel for each thing that decides what a server can do."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from benchmarks.results import Shape
from benchmarks.shapes import chat, connect, fanout, memory, publish
from benchmarks.stage import SEND_LOOP
from benchmarks.targets import OURS, Shapes

# Shape, case, figure, title; lower is better in all of them.
PANELS = (
    ("fanout", fanout.case_of(1000, "one in flight"), "cpu_us", "1 → 1000, µs per delivery"),
    ("fanout", fanout.case_of(1000, "16 in flight"), "cpu_us", "… with 16 in flight"),
    ("fanout", fanout.case_of(5000, "one in flight"), "cpu_us", "1 → 5000, µs per delivery"),
    ("chat", chat.SIXTEEN, "cpu_us", "1000 channels of 5, µs per delivery"),
    ("chat", chat.JOINS, "cpu_us", "presence with joins, µs per delivery"),
    ("publish", publish.SIXTEEN, "cpu_us", "publish, 16 connections, µs"),
    ("publish", publish.FRESH, "cpu_us", "publish, new connection, µs"),
    ("connect", connect.TLS, "cpu_us", "connect with TLS, µs"),
    ("memory", memory.SHARED, "kb", "idle connection, KB"),
)
PER_LINE = 3
OUR_COLOUR, THEIR_COLOUR, LIMIT_COLOUR = "#d9480f", "#868e96", "#ced4da"


def draw(shapes: Shapes, folder: Path) -> bool:
    """Writes peers.svg and peers.png; False without matplotlib, which is not among our tools."""
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
        matplotlib.use("Agg")
        plot: Any = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        return False
    panels = [panel for panel in PANELS if panel[0] in shapes and _bars(shapes[panel[0]], *panel)]
    if not panels:
        return True
    matplotlib.rcParams["svg.hashsalt"] = "oyez"  # the same figures make the same file
    lines = -(-len(panels) // PER_LINE)
    figure, axes = plot.subplots(lines, PER_LINE, figsize=(12, 2.1 * lines + 0.6), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, panel in zip(axes.flat, panels, strict=False):
        _panel(axis, panel[3], _bars(shapes[panel[0]], *panel))
    figure.suptitle("CPU time and memory of one server on one core; shorter is better")
    figure.tight_layout()
    figure.savefig(folder / "peers.svg", metadata={"Date": None})
    figure.savefig(folder / "peers.png", dpi=110)
    plot.close(figure)
    return True


def _bars(shape: Shape, _: str, case: str, figure: str, __: str) -> list[tuple[str, float]]:
    rows = [row for row in shape.rows if row.case == case and row.samples and not row.failure]
    return [(row.peer, row.median(figure)) for row in rows]


def _panel(axis: Any, title: str, bars: list[tuple[str, float]]) -> None:
    colours = {OURS: OUR_COLOUR, SEND_LOOP: LIMIT_COLOUR}
    names, values = zip(*reversed(bars), strict=True)
    axis.set_axis_on()
    drawn = axis.barh(names, values, color=[colours.get(name, THEIR_COLOUR) for name in names])
    axis.bar_label(drawn, [f"{value:.3g}" for value in values], padding=3, fontsize=8)
    axis.set_title(title, fontsize=10)
    axis.set_xlim(0, max(values) * 1.15)
    axis.tick_params(labelsize=8, bottom=False, labelbottom=False)
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)
