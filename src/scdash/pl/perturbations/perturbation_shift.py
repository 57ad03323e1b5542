"""What interventions do: arrows on an embedding, genes before and after, networks side by side."""

from collections.abc import Sequence
from typing import Literal, Unpack

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scdash._core.errors import NotFittedError, check_choice
from scdash._core.keys import require_result
from scdash.pl._embedding import colors_of, values_of
from scdash.pl._projection import project_velocity
from scdash.pl._velocity import grid_arrows, quiver
from scdash.pl.shared.options import drawing
from scdash.pl.shared.points import Look, PointStyle, frame, scatter_under_arrows
from scdash.pl.shared.read import embedding_of, expression
from scdash.pl.shared.style import Drawn, finish, house, panels


@drawing
def perturbation_shift(
    adata: AnnData,
    color: str | Sequence[str] | None = None,
    *,
    shift: str = "dynamics_shift",
    basis: str = "umap",
    kind: Literal["grid", "cells"] = "grid",
    layer: str | None = None,
    n_neighbors: int = 30,
    density: float = 1.0,
    smooth: float = 1.0,
    ncols: int = 3,
    **look: Unpack[PointStyle],
) -> Drawn:
    """Draw where an intervention pushes the cells, on an embedding.

    The shift of each cell (with the genes held minus without) is projected like a velocity: arrows show directions
    between neighbouring cells, not sizes. Read the table of shifts first.

    Parameters
    ----------
    adata
        AnnData after `scdash.tl.perturbation_shift`, with an embedding.
    color
        Columns of `obs` or genes to colour the cells by, one panel each; None: grey points.
    shift
        Name of the result.
    basis
        Key of `obsm`; ``"umap"`` finds ``X_umap`` and ``umap``.
    kind
        Arrows on a ``"grid"`` or for each of the ``"cells"``.
    layer
        Layer of expression that the shift belongs to.
    n_neighbors
        Neighbours a cell may move to.
    density, smooth
        Density of arrows; width of the smoothing kernel.
    ncols
        Panels a row.
    **look
        Look of the cells, as for :func:`scdash.pl.embedding`: `groups`, `size`, `alpha`, `palette`, `cmap`, `color_map`, `vmin`,
        `vmax`, `vcenter`, `legend_loc`, `frameon`.

    See Also
    --------
    scdash.tl.perturbation_shift : Predict for every cell how an intervention moves it within a short time, beside going on without it.
    scdash.pl.velocity : Draw where the fitted dynamics take the cells, on an embedding.

    Examples
    --------
    >>> ax = scdash.pl.perturbation_shift(adata)
    """
    check_choice("kind", kind, ["grid", "cells"])
    name, points = embedding_of(adata, basis, finite=True)
    if shift not in adata.layers:
        raise NotFittedError(
            f"No shifts under adata.layers[{shift!r}]. Run `scdash.tl.perturbation_shift(adata, ..., key_added={shift!r})`."
        )
    if layer is None and shift in adata.uns:
        layer = adata.uns[shift]["params"].get("layer")
    genes = adata.var_names[_shifted(adata, shift)]
    states, moved = expression(adata, list(genes), layer), expression(adata, list(genes), shift)
    arrows = project_velocity(states, moved, points, n_neighbors=n_neighbors)
    colored = values_of(adata, color, layer)
    style = Look.of("perturbation_shift", look, [values for _, values in colored])
    held, action = _action(adata, shift)
    with house():
        figure, axes = panels(len(colored), look, ncols=ncols, size=(5.4, 4.4))
        for panel, (column, values) in zip(axes, colored, strict=True):
            scatter_under_arrows(panel, points, values, column, style, colors_of(adata, column, values))
            quiver(panel, *(grid_arrows(points, arrows, density, smooth) if kind == "grid" else (points, arrows)))
            panel.set_title(f"{held} {action}".strip(), loc="left", fontweight="bold")
            frame(panel, name, frameon=style.frameon)
    return finish(figure, axes, "perturbation_shift", look)


def _action(adata: AnnData, shift: str) -> tuple[str, str]:
    """Return which genes were held, and what was done to them; nothing and "shift" where that is not stored."""
    if shift not in adata.uns:
        return "", "shift"
    run = f"scdash.tl.perturbation_shift(adata, ..., key_added={shift!r})"
    params = require_result(adata, shift, "params", what="shift", run=run)["params"]
    return ", ".join(str(gene) for gene in np.atleast_1d(params["genes"])), str(params["kind"])


def _shifted(adata: AnnData, shift: str) -> NDArray[np.bool_]:
    """Return which genes a shift was computed for."""
    name = f"{shift}_genes"
    if name in adata.var:
        return np.asarray(adata.var[name], dtype=bool)
    layer = adata.layers[shift]
    if sparse.issparse(layer):
        stored: NDArray[np.bool_] = np.asarray(layer.getnnz(axis=0)).ravel() > 0
        return stored
    return np.asarray(np.isfinite(np.asarray(layer[:1])).ravel(), dtype=bool)
