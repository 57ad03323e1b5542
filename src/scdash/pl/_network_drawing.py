"""Drawing of a small network: boxes, arrows that activate, bars that repress, and a legend."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Polygon
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from scdash._core.layout import arrange, route
from scdash.pl.shared.labels import TICK, cut, ticks
from scdash.pl.shared.style import ACTIVATION, INK, MUTED, REPRESSION

_REGULATOR, _TARGET = "#FFF3D6", "#F2F2F2"
_DASHES = (0, (3.2, 1.8))
_SMALLEST = 7.5  # size of a name without targets, in points
_READABLE = 6.0  # the same in a panel among several, where the size of the figure is ours
_PANEL = (6.2, 5.2)  # inches of such a panel, unless its names need more
_LETTER = 4.6  # mean width of a letter of the caption, in points


@dataclass(frozen=True)
class Sheet:
    """A layout in points."""

    names: tuple[str, ...]
    middles: NDArray[np.float64]  # (nodes, 2)
    sizes: NDArray[np.float64]  # (nodes, 2), of the drawn boxes
    fonts: NDArray[np.float64]  # (nodes,)
    area: tuple[float, float]

    def of(self, wanted: Sequence[str]) -> "Sheet":
        """Return the layout of some of the genes, each at its place."""
        kept = [i for i, name in enumerate(self.names) if name in set(wanted)]
        return Sheet(
            tuple(self.names[i] for i in kept), self.middles[kept], self.sizes[kept], self.fonts[kept], self.area
        )


def lay_out(names: Sequence[str], degree: NDArray[Any], pairs: list[tuple[str, str]], *, aspect: float = 1.35) -> Sheet:
    """Measure the names, whose size grows with the root of the out-degree, and lay out boxes around them."""
    fonts = _SMALLEST + 5.5 * np.sqrt(degree / max(int(degree.max()), 4))
    weights = ["bold" if targets else "normal" for targets in degree]
    width = [
        TextPath((0, 0), name if name.strip() else "-", size=font, prop=FontProperties(weight=weight))
        .get_extents()
        .width
        for name, font, weight in zip(ticks(names), fonts, weights, strict=True)
    ]
    sizes = np.column_stack([np.asarray(width) + 1.2 * fonts, 1.8 * fonts])
    middles, area = arrange(names, pairs, sizes + np.array([14.0, 16.0]), length=78.0, aspect=aspect)
    return Sheet(tuple(names), middles, sizes, fonts, area)


def fitted(
    names: Sequence[str], degree: NDArray[Any], pairs: list[tuple[str, str]], area: tuple[float, float]
) -> Sheet:
    """Shrink a drawing into a given area, text and all, or spread it over a larger one."""
    sheet = lay_out(names, degree, pairs, aspect=area[0] / area[1])
    enlargement = np.divide(area, sheet.area)
    scale = min(float(enlargement.min()), 1.0)
    if scale * _SMALLEST < 3.0:
        raise ValueError(f"{len(names)} names do not fit into this axis: draw fewer edges (n_edges) or a larger axis.")
    return replace(
        sheet, middles=sheet.middles * enlargement, sizes=sheet.sizes * scale, fonts=sheet.fonts * scale, area=area
    )


def readable(area: tuple[float, float]) -> tuple[float, float]:
    """Return inches of a panel in which a drawing of so many points can be read, with its caption and its legend."""
    scale = _READABLE / _SMALLEST / 72
    return max(_PANEL[0], area[0] * scale + 0.2), max(_PANEL[1], area[1] * scale + 1.2)


def points_of(ax: Axes) -> tuple[float, float]:
    """Return width and height of an axis in points."""
    figure: Any = ax.figure
    if hasattr(figure, "draw_without_rendering") and figure.get_layout_engine() is not None:
        figure.draw_without_rendering()  # the layout may still move the axis
    box = ax.get_window_extent()
    return box.width * 72 / ax.figure.dpi, box.height * 72 / ax.figure.dpi


def wrapped(caption: str, width: float) -> str:
    """Return a caption in lines that fit into so many points."""
    letters = max(int(width / _LETTER), 20)
    return "\n".join(textwrap.fill(line, letters) for line in caption.splitlines())


def new_page(area: tuple[float, float], entries: Sequence[Line2D], caption: str) -> tuple[Any, Axes]:
    """Return a figure whose axis measures `area` points, with a strip for the legend below and a caption above."""
    columns = legend_columns(entries)
    margin, strip, legend = 6.0, 14.0 + 14.0 * -(-len(entries) // columns), 118.0 * columns
    above = 12.0 * len(wrapped(caption, area[0]).splitlines())
    width, height = max(area[0] + 2 * margin, legend), area[1] + 2 * margin + strip + above
    figure = plt.figure(figsize=(width / 72, height / 72))
    left = (width - area[0]) / 2
    return figure, figure.add_axes((left / width, (margin + strip) / height, area[0] / width, area[1] / height))


def draw_nodes(ax: Axes, edges: pd.DataFrame, sheet: Sheet) -> None:
    """Draw the boxes of the genes; those of regulators are yellow."""
    regulators = set(edges["source"])
    for name, middle, size, font in zip(sheet.names, sheet.middles, sheet.sizes, sheet.fonts, strict=True):
        targets = name in regulators
        box = FancyBboxPatch(
            (middle - size / 2).tolist(), size[0], size[1], boxstyle=f"round,pad=0,rounding_size={size[1] / 2}", zorder=3, gid=f"node:{name}",
            fc=_REGULATOR if targets else _TARGET, ec=INK if targets else MUTED, lw=1.0 if targets else 0.6,
        )  # fmt: skip
        ax.add_patch(box)
        ax.text(middle[0], middle[1], cut(name, TICK), fontsize=font, ha="center", va="center_baseline", zorder=4, color=INK,
                fontweight="bold" if targets else "normal")  # fmt: skip


def draw_edges(ax: Axes, edges: pd.DataFrame, sheet: Sheet) -> None:
    """Draw arrows and bars, those of the prior solid."""
    size = sizes_of(edges)
    width = _width(size, size.max())
    known = edges["in_prior"].astype(bool).to_numpy() if with_prior(edges) else np.ones(len(edges), bool)
    place = {name: i for i, name in enumerate(sheet.names)}
    scale = float(sheet.fonts.min()) / _SMALLEST
    ends = zip(edges["source"], edges["target"], edges["weight"], strict=True)
    for (source, target, weight), line, prior in zip(ends, width * scale, known, strict=True):
        points = route(place[source], place[target], sheet.middles, sheet.sizes, gap=2.5 * scale)
        color, name = (ACTIVATION, "activates") if weight > 0 else (REPRESSION, "represses")
        body, head = _head(points, active=weight > 0, size=(3.6 + 1.6 * line) * scale)
        ax.plot(*body.T, color=color, lw=line, ls="-" if prior else _DASHES, zorder=2, solid_capstyle="butt",
                dash_capstyle="butt", gid=f"edge:{source}:{target}")  # fmt: skip
        look = {"fc": color, "lw": 0} if weight > 0 else {"ec": color, "lw": line + 0.6, "closed": False, "fill": False}
        ax.add_patch(Polygon(head, zorder=2.5, gid=f"{name}:{source}:{target}", **look))


def _head(points: NDArray[Any], *, active: bool, size: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the line of an edge up to its head, and the head: a triangle that activates, a bar that represses."""
    away = np.linalg.norm(points - points[-1], axis=1)
    base = max(int(np.flatnonzero(away >= size)[-1]) if (away >= size).any() else 0, 0)
    direction = points[-1] - points[base]
    direction = direction / max(float(np.linalg.norm(direction)), 1e-9)
    across = np.array([-direction[1], direction[0]])
    if active:
        corner = points[-1] - size * direction
        return np.vstack([points[: base + 1], corner]), np.array(
            [points[-1], corner + 0.48 * size * across, corner - 0.48 * size * across]
        )
    return points, np.array([points[-1] + 0.75 * size * across, points[-1] - 0.75 * size * across])


def with_prior(edges: pd.DataFrame) -> bool:
    """Whether dashes would tell edges apart: without a prior all of them would be dashed."""
    return "in_prior" in edges and bool(edges["in_prior"].astype(bool).any())


def sizes_of(edges: pd.DataFrame) -> NDArray[np.float64]:
    """Return what the width of an edge grows with: its contribution, or its absolute weight."""
    return np.asarray((edges["contribution"] if "contribution" in edges else edges["weight"]).abs(), dtype=np.float64)


def _width(size: Any, largest: float) -> Any:
    return 0.8 + 1.6 * np.sqrt(size / (largest or 1.0))


def entries_of(edges: pd.DataFrame) -> list[Line2D]:
    """Return the legend: signs, edges in and not in the prior, and two widths."""
    entries = [
        Line2D([0, 1], [0, 0], color=ACTIVATION, lw=1.8, marker=">", ms=6, markevery=[1], label="activates"),
        Line2D([0, 1], [0, 0], color=REPRESSION, lw=1.8, marker="|", ms=9, mew=2, markevery=[1], label="represses"),
    ]
    shown = [entry for entry, sign in zip(entries, (1, -1), strict=True) if (np.sign(edges["weight"]) == sign).any()]
    if with_prior(edges) and not edges["in_prior"].astype(bool).all():
        shown += [
            Line2D([], [], color=MUTED, lw=1.6, label="in the prior"),
            Line2D([], [], color=MUTED, lw=1.6, ls=_DASHES, label="not in the prior"),
        ]
    size = sizes_of(edges)
    if size.max() > 1.05 * size.min():
        word = "contribution" if "contribution" in edges else "absolute weight"
        shown += [
            Line2D([], [], color=MUTED, lw=_width(value, size.max()), label=f"{word} {value:.2g}")
            for value in (size.min(), size.max())
        ]
    return shown


def legend_columns(entries: Sequence[Line2D]) -> int:
    """Return how many entries stand in a row: all of a few, else half of them."""
    return len(entries) if len(entries) <= 4 else -(-len(entries) // 2)
