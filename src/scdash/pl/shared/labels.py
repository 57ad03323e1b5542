"""Names of genes: cut where they are long, the room they take, and their places beside points, where none overlap."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from scdash.pl.shared.style import INK, MUTED

TICK, TITLE = 24, 20  # letters of a name beside an axis, and above a small panel
USUAL = 8  # letters of a name, for which sizes of figures leave room anyway
FONT_SIZE = 6.5
LETTER = 0.62  # mean width of a letter over the size of the font
DISTANCES = (3.0, 8.0, 15.0, 24.0, 36.0, 52.0)  # points between a point and the edge of its name
FAR = 8.0  # points from which on a line joins them
DIRECTIONS = 16
ON_NAME, OUTSIDE, ON_POINT, PER_POINT = 1000.0, 200.0, 10.0, 0.2  # costs: overlaps, and a point of distance

Box = NDArray[np.float64]  # middle x, y, width, height, in points of the page


def cut(name: object, letters: int) -> str:
    """Return a name, a long one without its middle: names of one kind differ in their ends.

    >>> cut("MYOG", 20), cut("ENSG00000000001_isoform-12", 20)
    ('MYOG', 'ENSG000000…soform-12')
    """
    text = str(name)
    if len(text) <= letters:
        return text
    head = max(letters // 2, 1)
    return f"{text[:head].rstrip()}…{text[len(text) - (letters - head - 1) :].lstrip()}"


def ticks(names: Iterable[object]) -> list[str]:
    """Return names as they are written beside an axis."""
    return [cut(name, TICK) for name in names]


def room(names: Iterable[object], font_size: float = 8.0) -> float:
    """Return how many inches names beside an axis take beyond the usual ones."""
    longest = max((len(name) for name in ticks(names)), default=0)
    return max(longest - USUAL, 0) * LETTER * font_size / 72


def name_points(
    ax: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    names: NDArray[np.str_],
    rank: NDArray[np.float64],
    count: int,
) -> None:
    """Name the `count` points of highest rank (above 0), the highest first, each where it covers least.

    Call it last: places are found in the units of the page, so that limits and size must not change afterwards.
    """
    chosen = [int(i) for i in np.argsort(-rank, kind="stable")[: max(count, 0)] if rank[i] > 0]
    if not chosen:
        return
    figure: Any = ax.figure
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()  # the layout may still move the axis
    to_points = 72 / figure.dpi
    box = ax.get_window_extent()
    page = np.array([[box.x0, box.y0], [box.x1, box.y1]]) * to_points
    places = ax.transData.transform(np.column_stack([x, y])) * to_points
    sizes = np.array([[LETTER * FONT_SIZE * max(len(cut(names[i], TICK)), 1) + 2, 1.25 * FONT_SIZE] for i in chosen])
    for i, offset in zip(chosen, label_offsets(places, chosen, sizes, page), strict=True):
        size = sizes[chosen.index(i)]
        gap = float(np.max(np.abs(offset) - size / 2))
        line = {"arrowstyle": "-", "color": MUTED, "lw": 0.5, "shrinkA": 0, "shrinkB": 1}
        ax.annotate(
            cut(names[i], TICK), (float(x[i]), float(y[i])), xytext=tuple(offset), textcoords="offset points",
            fontsize=FONT_SIZE, color=INK, ha="center", va="center", arrowprops=line if gap > FAR else None,
            annotation_clip=False, gid="name",
        )  # fmt: skip


def label_offsets(
    places: NDArray[np.float64], chosen: list[int], sizes: NDArray[np.float64], page: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return where the middles of names lie, beside their points: one after another, each at the cheapest place.

    `places`: (points, 2) of all points. `chosen`: which of them have names, in the order in which names are placed.
    `sizes`: (names, 2) width and height. `page`: lower left and upper right corner of the axis.
    """
    angles = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    ways = np.column_stack([np.cos(angles), np.sin(angles)])
    taken: list[Box] = []
    found = np.zeros((len(chosen), 2))
    for k, (i, size) in enumerate(zip(chosen, sizes, strict=True)):
        candidates = np.concatenate([ways * (size / 2 + distance) for distance in DISTANCES])
        far = np.repeat(DISTANCES, DIRECTIONS)
        middles = places[i] + candidates
        covered = (np.abs(middles[:, None] - places[None]) < size / 2 + 1.5).all(axis=2).sum(axis=1)  # points
        cost = PER_POINT * far + ON_POINT * covered
        over = np.maximum(page[0] - (middles - size / 2), (middles + size / 2) - page[1]).clip(min=0).max(axis=1)
        cost += OUTSIDE * (over > 0) + over
        for other in taken:
            cost += ON_NAME * (np.abs(middles - other[:2]) < (size + other[2:]) / 2).all(axis=1)
        best = int(np.argmin(cost))
        found[k] = candidates[best]
        taken.append(np.concatenate([middles[best], size]))
    return found
