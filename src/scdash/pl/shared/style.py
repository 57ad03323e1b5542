"""One look for all figures, kept out of the user's rcParams, and what every function does first and last."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.registry import BackendFilter, backend_registry
from matplotlib.colors import Colormap, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure, SubFigure

from scdash._core.errors import unused
from scdash._core.logging import logger
from scdash.pl.shared.options import FigureOptions, own_options

#: what a function returns: its Axes (a list if it drew several panels), the Figure, or None once it has been shown
Drawn: TypeAlias = "Axes | list[Axes] | Figure | None"

SIGNED = "RdBu_r"  # red activates, blue represses, white is no effect
ACTIVATION, REPRESSION = "#B2182B", "#2166AC"  # the ends of RdBu_r
ROUND = [1, 2, 5, 10]  # steps between ticks, times a power of ten
INK, MUTED, FAINT = "#262626", "#7F7F7F", "#D9D9D9"

_RC = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.6,
    "axes.grid": False,
    "image.interpolation": "nearest",
    "axes.facecolor": "white",
    "figure.facecolor": "white",
}


@contextmanager
def house() -> Iterator[None]:
    """Draw in the package's style and leave the user's rcParams as they were."""
    with mpl.rc_context(_RC):
        yield


def panels(
    count: int,
    page: FigureOptions,
    *,
    ncols: int | None = None,
    size: tuple[float, float] = (4.0, 3.2),
    widths: Sequence[float] | None = None,
    heights: Sequence[float] | None = None,
    sharex: bool = False,
) -> tuple[Any, list[Axes]]:
    """Return the figure and `count` axes: a new figure, or the `ax` of the page, divided if need be.

    A new figure has `figsize` inches if given, else `size` inches a panel. The number of titles is checked before anything
    is drawn; `finish` writes them.
    """
    check_whole(count, page)
    ax = page.get("ax")
    columns = min(count, ncols or count)
    rows = -(-count // columns)
    if ax is None:
        total = page.get("figsize") or (size[0] * columns, size[1] * rows)
        figure, grid = plt.subplots(
            rows,
            columns,
            figsize=total,
            squeeze=False,
            layout="constrained",
            sharex=sharex,
            gridspec_kw={"width_ratios": widths, "height_ratios": heights},
        )
        axes = list(grid.ravel())
        for spare in axes[count:]:
            spare.remove()
        return figure, axes[:count]
    if count == 1:
        return whole_figure(ax), [ax]
    figure = whole_figure(ax)
    ax.set_axis_off()
    gap = 0.12
    width, height = 1 / (columns + gap * (columns - 1)), 1 / (rows + gap * (rows - 1))
    corners = [(i % columns * width * (1 + gap), 1 - height - i // columns * height * (1 + gap)) for i in range(count)]
    return figure, [ax.inset_axes((x, y, width, height)) for x, y in corners]


def whole_figure(ax: Axes) -> Any:
    """Return the figure of an axes, and the whole one for an axes in a SubFigure, which has no `savefig`."""
    if not isinstance(ax, Axes):
        raise TypeError(
            f"ax must be one Axes of matplotlib, found {type(ax).__name__}: several panels share the place of one ax, or "
            "are drawn by one call each."
        )
    figure: Any = ax.figure
    while isinstance(figure, SubFigure):
        figure = figure.figure
    return figure


def save_figure(figure: Any, name: str, *, save: str | bool | None) -> None:
    """Write a figure as scanpy does, to `scanpy.settings.figdir`: the name of the plot, then `save`, then the ending."""
    if not save:
        return
    import scanpy as sc

    text = "" if save is True else str(save)
    ending = "" if text.endswith((".pdf", ".png", ".svg")) else f".{sc.settings.file_format_figs}"
    folder = Path(sc.settings.figdir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}{text}{ending}"
    figure.savefig(path, bbox_inches="tight")
    logger.info("saved figure %s", path)


def check_whole(count: int, page: FigureOptions) -> None:
    """Raise where titles are not as many as panels, or a size is given for a figure that is not ours."""
    figsize, title = page.get("figsize"), page.get("title")
    if figsize is not None and page.get("ax") is not None:
        raise unused("figsize", "the figure of the given ax keeps its size")
    if figsize is not None and not (len(figsize) == 2 and min(figsize) > 0):
        raise ValueError(f"figsize must be (width, height) in inches, both above 0, found {figsize!r}.")
    if title is not None and not isinstance(title, str) and len(title) != count:
        raise ValueError(f"title has {len(title)} entries for {count} panels: give one for each, or a single text.")


def finish(figure: Figure, axes: Sequence[Axes], name: str, page: FigureOptions) -> Drawn:
    """Write titles, save the figure, and show it or return what was drawn.

    A figure drawn into the caller's `ax` is never shown unasked. `name` is that of the plot, for the file.
    """
    own, show = page.get("ax") is None, page.get("show")
    set_titles(figure, axes, page.get("title"), own=own)
    save_figure(figure, name, save=page.get("save"))
    if page.get("return_fig"):
        return figure
    if show is None:
        show = own and is_interactive()
    if show:
        plt.show()
        return None
    return axes[0] if len(axes) == 1 else list(axes)


def set_titles(figure: Figure, axes: Sequence[Axes], title: str | Sequence[str] | None, *, own: bool) -> None:
    """Replace the titles of all panels, or write one text above several of them."""
    if title is None:
        return
    if isinstance(title, str) and len(axes) > 1 and own:
        figure.suptitle(title, fontweight="bold", fontsize=11)
        return
    for panel, text in zip(axes, [title] if isinstance(title, str) else title, strict=False):
        for place in ("center", "right"):
            panel.set_title("", loc=place)
        panel.set_title(text, loc="left", fontweight="bold")


def legend_below(figure: Figure, panel: Axes, entries: Sequence[Any], *, own: bool, ncols: int = 4) -> None:
    """Draw the legend below the panels of our own figure, where it covers nothing, or inside the `panel` of the caller's."""
    if own:
        figure.legend(handles=entries, loc="outside lower center", ncols=min(len(entries), ncols))
    else:
        panel.legend(handles=entries, loc="best")


def is_interactive() -> bool:
    """Say whether the backend puts figures on a screen (a window, a notebook) rather than into files."""
    backend = str(mpl.get_backend()).lower()
    windows = {name.lower() for name in backend_registry.list_builtin(BackendFilter.INTERACTIVE)}
    return backend in windows or any(part in backend for part in ("inline", "ipympl", "widget"))


def bare(ax: Axes) -> None:
    """Remove frame and ticks, as for an embedding, whose axes mean nothing."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


class ColorScale(FigureOptions, total=False):
    """Colours of numbers, as arguments of a figure; the names are scanpy's."""

    cmap: str | Colormap
    vmin: float | None
    vmax: float | None
    vcenter: float | None


def color_scale(given: ColorScale) -> tuple[str | Colormap, dict[str, Any]]:
    """Return the colours of signed values and the arguments of `signed_norm`."""
    limits = own_options(given)
    return limits.pop("cmap", SIGNED), limits


def signed_norm(
    values: np.ndarray[Any, Any],
    *,
    vmin: float | None = None,
    vmax: float | None = None,
    vcenter: float | None = 0.0,
    quantile: float = 0.95,
) -> Normalize:
    """Return a colour scale centred at `vcenter`; its ends come from a quantile, so that a few giants hide nothing."""
    finite = np.abs(values[np.isfinite(values) & (values != 0)] - (vcenter or 0.0))
    reach = float(np.quantile(finite, quantile)) if finite.size else 1.0
    reach = reach or 1.0
    if vcenter is None:
        low, high = (float(np.nanmin(values)), float(np.nanmax(values))) if values.size else (0.0, 1.0)
        return Normalize(low if vmin is None else vmin, high if vmax is None else vmax)
    if vmin is None and vmax is not None:
        vmin = 2 * vcenter - vmax
    elif vmax is None and vmin is not None:
        vmax = 2 * vcenter - vmin
    low, high = vcenter - reach if vmin is None else vmin, vcenter + reach if vmax is None else vmax
    if not low < vcenter < high:
        raise ValueError(f"vmin < vcenter < vmax is needed, found {low:g}, {vcenter:g}, {high:g}.")
    return TwoSlopeNorm(vcenter, low, high)
