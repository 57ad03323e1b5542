"""What figures and the HTML report share: colours as scanpy keeps them, `uns["<column>_colors"]`, and the range of predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from scdash._core.logging import logger


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
