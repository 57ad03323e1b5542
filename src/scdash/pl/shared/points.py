"""How cells are drawn on an embedding: colours of groups or numbers, legend, colour bar and frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, Normalize, TwoSlopeNorm
from matplotlib.legend import Legend
from numpy.typing import NDArray

from scdash._core.drawing import category_colors
from scdash._core.errors import check_arguments, check_choice, unknown, unused
from scdash._core.layout import separate
from scdash.pl.shared.options import own_options
from scdash.pl.shared.style import FAINT, INK, ColorScale, bare

_BOLD_LETTER = 0.68  # mean width of a bold letter over the size of the font
ROWS = 14  # entries of a legend in one column
MARGIN, ON_DATA = "right margin", "on data"  # as in scanpy, beside matplotlib's own places
PLACES = (
    MARGIN, ON_DATA, "none", "best", "upper right", "upper left", "lower left", "lower right", "right", "center left",
    "center right", "lower center", "upper center", "center",
)  # fmt: skip


class PointStyle(ColorScale, total=False):
    """How cells look, as arguments of a figure: those of `Look`."""

    size: float | None
    palette: str | Sequence[str] | Mapping[str, str] | None
    color_map: str | Colormap | None
    alpha: float | None
    groups: str | Sequence[str] | None
    legend_loc: str | None
    frameon: bool | None


@dataclass(frozen=True)
class Look:
    """What a caller asks of the points; the names are scanpy's."""

    size: float | None = None
    palette: str | Sequence[str] | Mapping[str, str] | None = None
    cmap: str | Colormap = "viridis"
    color_map: str | Colormap | None = None  # another name of cmap
    vmin: float | None = None
    vmax: float | None = None
    vcenter: float | None = None
    alpha: float | None = None
    groups: str | Sequence[str] | None = None
    legend_loc: str | None = MARGIN
    frameon: bool | None = None

    @classmethod
    def of(
        cls, function: str, given: PointStyle, drawn: Sequence[pd.Series | None], *, without: Sequence[str] = ()
    ) -> Self:
        """Return the look that the keyword arguments of `function` ask for; those it goes `without` are errors."""
        asked = own_options(given)
        check_arguments(function, asked, [one.name for one in fields(cls) if one.name not in without])
        look = cls(**asked)
        look.check(drawn)
        return look

    def check(self, drawn: Sequence[pd.Series | None]) -> None:
        """Raise, before anything is drawn, where an argument is unknown or would change none of the panels."""
        if self.legend_loc is not None and self.legend_loc not in PLACES:
            raise unknown("legend_loc", self.legend_loc, PLACES)
        if self.alpha is not None and not 0 < self.alpha <= 1:
            raise ValueError(f"alpha must be above 0 and at most 1, found {self.alpha!r}.")
        if self.color_map is not None and self.cmap != "viridis":
            raise ValueError("color_map and cmap are two names of one argument: give one of them.")
        if self.groups is None:
            return
        categorical = [values for values in drawn if is_categorical(values)]
        if not categorical:
            raise unused("groups", "no panel is coloured by a column of categories")
        names = {str(name) for values in categorical for name in values.cat.categories}  # type: ignore[union-attr]
        for name in self.chosen or ():
            check_choice("group", name, sorted(names))

    @property
    def chosen(self) -> list[str] | None:
        """Names of the groups that keep their colours; None: all."""
        if self.groups is None:
            return None
        return [self.groups] if isinstance(self.groups, str) else [str(name) for name in self.groups]

    def scale(self, values: pd.Series) -> dict[str, Any]:
        """Return colour map and scale of numbers."""
        known = values[np.isfinite(values)]
        low = self.vmin if self.vmin is not None else float(known.min()) if len(known) else 0.0
        high = self.vmax if self.vmax is not None else float(known.max()) if len(known) else 1.0
        cmap = self.cmap if self.color_map is None else self.color_map
        if self.vcenter is None:
            return {"cmap": cmap, "norm": Normalize(low, high)}
        reach = max(abs(high - self.vcenter), abs(self.vcenter - low)) or 1.0
        low = self.vcenter - reach if self.vmin is None else self.vmin
        high = self.vcenter + reach if self.vmax is None else self.vmax
        return {"cmap": cmap, "norm": TwoSlopeNorm(self.vcenter, low, high)}


def beside_legend(ax: Axes, handles: Sequence[Any], **where: Any) -> Legend:
    """Draw another legend, and keep that of the cells; `where` as in matplotlib."""
    cells = ax.get_legend()
    if cells is not None:
        ax.add_artist(cells)
        cells.set_clip_path(None)  # `add_artist` clips to the panel, beside which the legend stands
        cells.set_clip_on(False)
    return ax.legend(handles=handles, **where)


def is_categorical(values: pd.Series | None) -> bool:
    """Say whether a column holds categories, not numbers."""
    return values is not None and isinstance(values.dtype, pd.CategoricalDtype)


def scatter_under_arrows(
    ax: Axes,
    points: NDArray[np.float64],
    values: pd.Series | None,
    name: str | None,
    look: Look,
    stored: Mapping[str, str] | None,
) -> None:
    """Draw points as `scatter`, larger and paler, so that arrows over them are seen."""
    scatter(ax, points, values, name, look, stored=stored, size=float(np.clip(9e4 / len(points), 4, 60)), alpha=0.45)


def scatter(
    ax: Axes,
    points: NDArray[np.float64],
    values: pd.Series | None,
    name: str | None,
    look: Look,
    *,
    stored: Mapping[str, str] | None = None,
    size: float | None = None,
    alpha: float = 1.0,
) -> None:
    """Draw points with a legend or a labelled colour bar; the largest numbers on top, missing ones grey below.

    `size` and `alpha` are used where the look names none.
    """
    default = float(np.clip(60_000 / max(len(points), 1), 2, 30)) if size is None else size
    how: dict[str, Any] = {"s": default if look.size is None else look.size, "lw": 0, "rasterized": True}
    how["alpha"] = alpha if look.alpha is None else look.alpha
    if values is None:
        ax.scatter(points[:, 0], points[:, 1], color="#BDBDBD", **how)
        return
    missing = values.isna().to_numpy()
    if missing.any():
        ax.scatter(points[missing, 0], points[missing, 1], color=FAINT, label="missing", **how)
    if is_categorical(values):
        _groups(ax, points, values, look, stored, how)
        return
    number = values.to_numpy(dtype=float)
    order = np.argsort(np.where(missing, -np.inf, number), kind="stable")[missing.sum() :]
    scale = look.scale(values)
    drawn = ax.scatter(points[order, 0], points[order, 1], c=number[order], **scale, **how)
    if look.legend_loc in (None, "none"):
        return
    low, high = scale["norm"].vmin, scale["norm"].vmax
    known = number[~missing]
    beyond = (len(known) > 0 and known.min() < low, len(known) > 0 and known.max() > high)
    bar = color_bar(drawn, ax, name, beyond, aspect=20)
    if low == high:
        bar.set_ticks([low])  # one value: no other is on the bar
    if bar.solids is not None:
        bar.solids.set_alpha(1)


def color_bar(
    image: Any,
    beside: Axes | Sequence[Axes],
    label: str | None,
    beyond: tuple[bool, bool] = (False, False),  # whether there are values below and above the scale: arrows say so
    *,
    shrink: float = 0.6,
    aspect: float = 25,
    pad: float = 0.02,
) -> Colorbar:
    """Draw a colour bar without a frame beside one panel, or beside several."""
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[beyond]
    figure: Any = beside.figure if isinstance(beside, Axes) else beside[0].figure
    bar: Colorbar = figure.colorbar(image, ax=beside, shrink=shrink, aspect=aspect, pad=pad, extend=ends)
    bar.outline.set_visible(False)
    if label:
        bar.set_label(label)
    return bar


def _groups(
    ax: Axes,
    points: NDArray[np.float64],
    values: pd.Series,
    look: Look,
    stored: Mapping[str, str] | None,
    how: dict[str, Any],
) -> None:
    names = [str(category) for category in values.cat.categories]
    colors = category_colors(names, look.palette, stored)
    codes = values.cat.codes.to_numpy()
    chosen = look.chosen
    others = (
        np.zeros(len(codes), bool)
        if chosen is None
        else ~np.isin(codes, [names.index(one) for one in chosen if one in names])
    )
    others &= codes >= 0
    if others.any():
        ax.scatter(points[others, 0], points[others, 1], color=FAINT, **how)
    # in random but fixed order, so that no group hides another
    order = np.random.default_rng(0).permutation(np.flatnonzero((codes >= 0) & ~others))
    ax.scatter(points[order, 0], points[order, 1], c=[colors[names[code]] for code in codes[order]], **how)
    shown = [i for i, name in enumerate(names) if (codes == i).any() and (chosen is None or name in chosen)]
    if look.legend_loc == ON_DATA:
        _name_groups(ax, np.array([np.median(points[codes == i], axis=0) for i in shown]), [names[i] for i in shown])
        return
    for i in shown:
        ax.scatter([], [], s=28, color=colors[names[i]], label=names[i])
    if look.legend_loc in (None, "none"):
        return
    place: dict[str, Any] = {"loc": look.legend_loc}
    if look.legend_loc == MARGIN:
        place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "ncols": -(-len(shown) // ROWS)}
    ax.legend(handletextpad=0.3, **place)


def _name_groups(ax: Axes, places: NDArray[np.float64], names: Sequence[str]) -> None:
    """Write names at their places, moved apart where they would overlap."""
    figure: Any = ax.figure
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()  # the layout may still move the axis
    middles = ax.transData.transform(places) * 72 / figure.dpi
    font = float(mpl.rcParams["font.size"])
    sizes = np.array([[_BOLD_LETTER * font * max(len(name), 1), 1.3 * font] for name in names])
    for name, place, offset in zip(names, places, separate(middles, sizes) - middles, strict=True):
        text = ax.annotate(
            name, place, offset, textcoords="offset points", ha="center", va="center", fontweight="bold", zorder=5
        )
        text.set_path_effects([patheffects.withStroke(linewidth=2.5, foreground="white")])


def frame(ax: Axes, name: str, *, frameon: bool | None = None) -> None:
    """Leave only the names of the axes: distances on an embedding mean nothing. `frameon`: draw a box, or nothing."""
    bare(ax)
    if frameon is False:
        return
    if frameon:
        ax.spines[:].set_visible(True)
    shown = name.upper() if len(name) <= 4 else name
    ax.set_xlabel(f"{shown} 1", loc="left", color=INK)
    ax.set_ylabel(f"{shown} 2", loc="bottom", color=INK)
