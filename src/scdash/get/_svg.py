"""Figures of the HTML report as inline SVG: genes over time, points, and a network that a script can move."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.drawing import PALETTE
from scdash._core.layout import arrange

Floats = NDArray[np.float64]
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 250, 170, 40, 34, 10
LETTER, BOX = 7.4, 18  # points: width of a letter and height of a box of the network


@dataclass(frozen=True)
class Curve:
    """One trajectory of one gene."""

    name: str
    color: str
    time: Floats
    observed: Floats
    fitted: Floats


def trends_svg(gene: str, curves: Sequence[Curve], time_name: str) -> str:
    """Return a panel: circles are observed, lines are simulated by the model from the first state."""
    times = np.concatenate([curve.time for curve in curves])
    values = np.concatenate([value for curve in curves for value in (curve.observed, curve.fitted)])
    x, y = _scale(times, LEFT, WIDTH - 8), _scale(values, HEIGHT - BOTTOM, TOP)
    marks = []
    for curve in curves:
        points = "".join(
            f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="2.4" fill="{curve.color}" fill-opacity="0.55"/>'
            for a, b in zip(curve.time, curve.observed, strict=True)
        )
        line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(curve.time, curve.fitted, strict=True))
        marks.append(f'{points}<polyline points="{line}" fill="none" stroke="{curve.color}" stroke-width="2"/>')
    return _panel(gene, time_name, "expression", _ends(times), _ends(values), "".join(marks))


def points_svg(points: Floats, title: str, names: tuple[str, str]) -> str:
    """Return a panel of points."""
    x, y = _scale(points[:, 0], LEFT, WIDTH - 8), _scale(points[:, 1], HEIGHT - BOTTOM, TOP)
    marks = "".join(
        f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="1.6" fill="{PALETTE[0]}" fill-opacity="0.5"/>' for a, b in points
    )
    return _panel(title, *names, _ends(points[:, 0]), _ends(points[:, 1]), marks)


def legend(colors: Mapping[str, str]) -> str:
    """Return the colours of several trajectories."""
    if len(colors) < 2:
        return ""
    shown = "".join(
        f'<span style="color:{color}">&#9632;</span> {escape(name)} &nbsp; ' for name, color in colors.items()
    )
    return f'<p class="note">{shown}</p>'


def network_svg(edges: pd.DataFrame) -> str:
    """Return the network with its controls; `report.js` draws the edges and moves the nodes."""
    names = list(dict.fromkeys([*edges["source"], *edges["target"]]))
    place = {name: i for i, name in enumerate(names)}
    widths = np.array([LETTER * max(len(name), 2) + 12 for name in names])
    sizes = np.column_stack([widths + 16, np.full(len(names), BOX + 16.0)])
    pairs = list(zip(edges["source"], edges["target"], strict=True))
    middles, (width, height) = arrange(names, pairs, sizes, length=90.0, aspect=1.6)
    regulators = set(edges["source"])
    largest = float(edges["weight"].abs().max())
    prior = bool(edges["in_prior"].any())  # without a prior no edge is called novel
    lines = [
        f'<path class="edge {"activates" if row["weight"] > 0 else "represses"}{" novel" if prior and not row["in_prior"] else ""}" '
        f'data-source="{place[row["source"]]}" data-target="{place[row["target"]]}" data-rank="{rank}" '
        f'data-weight="{row["weight"]:.4g}" data-prior="{int(row["in_prior"])}" '
        f'stroke-width="{0.8 + 1.8 * np.sqrt(abs(row["weight"]) / largest):.2f}" '
        f'marker-end="url(#{"activation" if row["weight"] > 0 else "repression"})"/>'
        for rank, row in enumerate(edges.to_dict("records"), start=1)
    ]
    boxes = [
        f'<g class="node{" regulator" if name in regulators else ""}" data-name="{escape(name)}" data-x="{x:.1f}" '
        f'data-y="{height - y:.1f}" data-w="{w:.0f}"><rect x="{-w / 2:.1f}" y="{-BOX / 2}" width="{w:.1f}" '
        f'height="{BOX}" rx="{BOX / 2}"/><text text-anchor="middle" dy="4">{escape(name)}</text></g>'
        for name, (x, y), w in zip(names, middles, widths, strict=True)
    ]
    return (
        f'<div id="network">{_controls(names, len(edges), with_prior=prior)}'
        f'<div class="wide"><svg viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{1.3 * width:.0f}px;min-width:'
        f'{min(0.55 * width, 1000):.0f}px" role="img" aria-label="network of the strongest edges"><defs>'
        '<marker id="activation" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="5" markerHeight="5" orient="auto">'
        '<path d="M0,1L9,5L0,9z" fill="#b2182b"/></marker>'
        '<marker id="repression" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="5" markerHeight="5" orient="auto">'
        '<path d="M8,0L8,10" stroke="#2166ac" stroke-width="3"/></marker></defs>'
        f'{"".join(lines)}{"".join(boxes)}</svg></div><p class="found note"></p></div>'
    )


def _controls(names: Sequence[str], count: int, *, with_prior: bool) -> str:
    genes = "".join(f'<option value="{escape(name)}">' for name in sorted(names))
    kinds = '<option value="all">all edges</option>'
    if with_prior:
        kinds += '<option value="prior">edges of the prior</option><option value="novel">novel edges</option>'
    return (
        f'<div class="controls"><label>Strongest <span class="count">{count}</span> edges '
        f'<input type="range" min="1" max="{count}" value="{count}"></label>'
        f"<label>Show <select>{kinds}</select></label>"
        f'<label>Gene <input type="search" list="genes"></label><datalist id="genes">{genes}</datalist></div>'
    )


class _Linear:
    """A linear scale from data to points of the page."""

    def __init__(self, low: float, high: float, start: float, stop: float) -> None:
        self.low, self.start = low, start
        self.slope = (stop - start) / (high - low)

    def __call__(self, value: float) -> float:
        return self.start + (float(value) - self.low) * self.slope


def _scale(values: Floats, start: float, stop: float) -> _Linear:
    low, high = _ends(values)
    return _Linear(low, high, start, stop)


def _ends(values: Floats) -> tuple[float, float]:
    """Return the lowest and the highest value, apart even where all are equal."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if high - low > 1e-12 * max(abs(low), abs(high), 1e-300) else (low - 0.5, high + 0.5)


def _panel(title: str, x_name: str, y_name: str, x: tuple[float, float], y: tuple[float, float], marks: str) -> str:
    floor, right = HEIGHT - BOTTOM, WIDTH - 8
    texts: Mapping[str, tuple[str, float, float, str]] = {
        "x low": (f"{x[0]:.3g}", LEFT, floor + 14, "start"),
        "x high": (f"{x[1]:.3g}", right, floor + 14, "end"),
        "x name": (x_name, (LEFT + right) / 2, floor + 27, "middle"),
        "y low": (f"{y[0]:.3g}", LEFT - 4, floor, "end"),
        "y high": (f"{y[1]:.3g}", LEFT - 4, TOP + 8, "end"),
    }
    words = "".join(
        f'<text x="{a:.0f}" y="{b:.0f}" text-anchor="{anchor}">{escape(text)}</text>'
        for text, a, b, anchor in texts.values()
    )
    middle = (floor + TOP) / 2
    words += f'<text transform="translate(10,{middle:.0f}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>'
    axes = f'<path class="axis" d="M{LEFT},{TOP}V{floor}H{right}"/>'
    label = f'role="img" aria-label="{escape(title)}"'
    return (
        f'<figure><strong>{escape(title)}</strong><svg viewBox="0 0 {WIDTH} {HEIGHT}" {label}>{axes}{words}{marks}</svg>'
        "</figure>"
    )
