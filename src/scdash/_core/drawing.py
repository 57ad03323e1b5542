"""What figures and the HTML report share: default colours, those that scanpy keeps, `uns["<column>_colors"]`, and the range of predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from anndata import AnnData
from matplotlib.colors import Colormap, to_hex
from numpy.typing import NDArray

from scdash._core.logging import logger

# Okabe and Ito (2008), safe for the common forms of colour blindness, then Tol's muted scheme
PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000",
    "#332288", "#999933", "#882255", "#44AA99", "#DDCC77", "#AA4499", "#117733", "#88CCEE",
)  # fmt: skip


def stored_colors(uns: Mapping[str, Any], column: str | None, categories: Sequence[str]) -> dict[str, str] | None:
    """Return the colour of each category from `uns["<column>_colors"]`, or None where there are none to use.

    scanpy writes a list in the order of the categories. A dict (category -> colour) and a single string, which is what a
    list of one colour may come back as from a file, are read too. Whatever names no colour for some category is left
    aside with a hint in the log, as scanpy does, since colours are no reason to draw nothing.
    """
    name = f"{column}_colors"
    found = None if column is None else uns.get(name)
    if found is None:
        return None
    try:
        colors = _by_category(found, [str(category) for category in categories])
        return {category: to_hex(color) for category, color in colors.items()}
    except (ValueError, TypeError) as error:
        logger.warning(
            "uns[%r] is not used: %s. Write a list with one colour for each category, in their order, or a dict from "
            "category to colour.",
            name,
            str(error).rstrip("."),
        )
        return None


def trajectory_colors(adata: AnnData, column: Any, names: Sequence[str]) -> dict[str, str] | None:
    """Return the colours that `uns` keeps for the column of lineages, if it names every one of `names`."""
    if column is None or str(column) not in adata.obs:
        return None
    categories = [str(name) for name in adata.obs[str(column)].astype("category").cat.categories]
    return stored_colors(adata.uns, str(column), categories) if set(names) <= set(categories) else None


def colors_among(
    everything: Sequence[str],
    drawn: Sequence[str],
    palette: str | Sequence[str] | Mapping[str, str] | Colormap | None = None,
    stored: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return a colour for each category that is drawn, the same as if every category were drawn.

    A mapping need name no others than those drawn.
    """
    shown = [str(name) for name in drawn]
    if isinstance(palette, Mapping):
        return category_colors(shown, palette)
    if palette is None and stored is not None and set(shown) <= set(stored):
        return category_colors(shown, None, stored)
    colors = category_colors(list(dict.fromkeys([*(str(name) for name in everything), *shown])), palette)
    return {name: colors[name] for name in shown}


def category_colors(
    categories: Sequence[str],
    palette: str | Sequence[str] | Mapping[str, str] | Colormap | None = None,
    stored: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return a colour for each category: from `palette`, else as stored in `uns` (`stored_colors`), else colour-blind safe."""
    names = [str(category) for category in categories]
    if isinstance(palette, Mapping):
        missing = [name for name in names if name not in palette]
        if missing:
            raise ValueError(f"palette has no colour for {', '.join(map(repr, missing[:5]))}.")
        return {name: to_hex(palette[name]) for name in names}
    if palette is None and stored is not None:
        return {name: stored[name] for name in names}
    if isinstance(palette, str | Colormap):
        scale = mpl.colormaps[palette] if isinstance(palette, str) else palette
        if scale.N <= 32:  # a qualitative map is a list of colours
            return {name: to_hex(scale(i % scale.N)) for i, name in enumerate(names)}
        return {name: to_hex(scale(i / max(len(names) - 1, 1))) for i, name in enumerate(names)}
    colors = list(palette) if palette is not None else list(PALETTE)
    if len(names) > len(colors) and palette is None:
        return category_colors(names, "turbo")
    return {name: to_hex(colors[i % len(colors)]) for i, name in enumerate(names)}


def _by_category(found: Any, categories: Sequence[str]) -> dict[str, Any]:
    """Return category -> colour, or raise with what is wrong."""
    if isinstance(found, Mapping):
        by_name = {str(key): value for key, value in found.items()}
        missing = [category for category in categories if category not in by_name]
        if missing:
            raise ValueError(f"it has no colour for {', '.join(map(repr, missing[:5]))}")
        return {category: _plain(by_name[category]) for category in categories}
    listed = [found] if isinstance(found, str | bytes) else list(np.atleast_1d(np.asarray(found, dtype=object)))
    if len(listed) < len(categories):
        raise ValueError(f"it has {len(listed)} colour(s) for {len(categories)} categories")
    return {category: _plain(color) for category, color in zip(categories, listed, strict=False)}


def _plain(color: Any) -> Any:
    """Return a colour without the wrapping that files add."""
    if isinstance(color, bytes):
        return color.decode()
    return color.item() if isinstance(color, np.ndarray) and color.ndim == 0 else color


def not_below_observed(values: NDArray[np.float64], lowest: Any) -> NDArray[np.float64]:
    """Return predicted expression as it is drawn: at least 0 for genes whose lowest observed value is not below 0.

    A model may leave the range of the data; that it says less than nothing of a gene is not shown as less than nothing. The
    expression that `scdash.tl.perturb` and `scdash.tl.predict` return in `X` is that of the model; the table of changes is not.

    >>> not_below_observed(np.array([-1.0, -1.0]), np.array([0.0, -2.0])).tolist()
    [0.0, -1.0]
    """
    return np.where(np.asarray(lowest) >= 0, np.maximum(values, 0.0), values)
