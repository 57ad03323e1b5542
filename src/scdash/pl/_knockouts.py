"""What interventions do: arrows on an embedding, genes before and after, networks side by side."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from scipy import sparse

from scdash._core.process_state import guarded
from scdash._errors import NotFittedError, suggest, unknown
from scdash._keys import require_result
from scdash.metrics._edges import is_anndata
from scdash.pl._embedding import _scale, colors_of, frame, scatter, values_of
from scdash.pl._network import network
from scdash.pl._projection import project_velocity
from scdash.pl._read import columns, embedding_of, expression, positions
from scdash.pl._style import INK, PALETTE, Drawn, finish, house, panels, save_figure
from scdash.pl._velocity import _grid_arrows, _quiver


@guarded
def perturbation_shift(
    adata: Any,
    color: str | Sequence[str] | None = None,
    *,
    shift: str = "dynamics_shift",
    basis: str = "umap",
    kind: Literal["grid", "cells"] = "grid",
    layer: str | None = None,
    n_neighbors: int = 30,
    density: float = 1.0,
    smooth: float = 1.0,
    size: float | None = None,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    cmap: str | Colormap = "viridis",
    vmin: float | None = None,
    vmax: float | None = None,
    vcenter: float | None = None,
    ncols: int = 3,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | bool | None = None,
    return_fig: bool = False,
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
    size, palette, cmap, vmin, vmax, vcenter
        Look of the cells, see :func:`scdash.pl.embedding`.
    ncols
        Panels a row.
    save
        Write the figure to `scanpy.settings.figdir`, as scanpy does: `True`, or what to add to the name of the file.
    ax, show, return_fig
        See :mod:`scdash.pl`.
    """
    if kind not in ("grid", "cells"):
        raise unknown("kind", kind, ["grid", "cells"])
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
    held, action = _action(adata, shift)
    with house():
        figure, axes = panels(len(colored), ax, ncols=ncols, size=(5.4, 4.4))
        for panel, (title, values) in zip(axes, colored, strict=True):
            scatter(panel, points, values, title, size=size or float(np.clip(9e4 / len(points), 4, 60)), palette=palette,
                    stored=colors_of(adata, title, values), alpha=0.45, bar_label=title,
                    **_scale(values, cmap, vmin, vmax, vcenter))  # fmt: skip
            _quiver(panel, *(_grid_arrows(points, arrows, density, smooth) if kind == "grid" else (points, arrows)))
            panel.set_title(f"{held} {action}".strip(), loc="left", fontweight="bold")
            frame(panel, name)
    save_figure(figure, "perturbation_shift", save=save)
    return finish(figure, axes, ax=ax, show=show, return_fig=return_fig)


def _action(adata: Any, shift: str) -> tuple[str, str]:
    """Return which genes were held, and what was done to them; nothing and "shift" where that is not stored."""
    if shift not in adata.uns:
        return "", "shift"
    run = f"scdash.tl.perturbation_shift(adata, ..., key_added={shift!r})"
    params = require_result(adata, shift, "params", what="shift", run=run)["params"]
    return ", ".join(str(gene) for gene in np.atleast_1d(params["genes"])), str(params["kind"])


def _shifted(adata: Any, shift: str) -> NDArray[np.bool_]:
    """Return which genes a shift was computed for."""
    name = f"{shift}_genes"
    if name in adata.var:
        return np.asarray(adata.var[name], dtype=bool)
    layer = adata.layers[shift]
    if sparse.issparse(layer):
        stored: NDArray[np.bool_] = np.asarray(layer.getnnz(axis=0)).ravel() > 0
        return stored
    return np.asarray(np.isfinite(np.asarray(layer[:1])).ravel(), dtype=bool)


@guarded
def knockout_trends(
    perturbed: Any,
    genes: str | Sequence[str] | None = None,
    *,
    ncols: int = 4,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw genes over time without (solid) and with an intervention (dashed), as predicted by `scdash.tl.perturb`.

    Parameters
    ----------
    perturbed
        AnnData returned by `scdash.tl.perturb`.
    genes
        Genes to draw; None: the eight that change most, the held ones left out.
    ncols
        Panels a row.
    ax, show, return_fig
        See :mod:`scdash.pl`.
    """
    for name in ("condition", "trajectory", "time"):
        if not is_anndata(perturbed) or name not in perturbed.obs:
            raise ValueError(
                "perturbed must be what scdash.tl.perturb returns: obs['condition'], 'trajectory', 'time'."
            )
    if genes is None:
        change = perturbed.uns["change"]
        genes = list(change.loc[~change["held"].astype(bool), "gene"].astype(str)[:8])
    names = pd.Index(perturbed.var_names.astype(str))
    listed = list(names[positions(genes, names)])
    values = pd.DataFrame(expression(perturbed, listed, None), columns=listed)
    obs = perturbed.obs.reset_index(drop=True)
    lineages = list(pd.unique(obs["trajectory"].astype(str)))[:6]
    with house():
        figure, axes = panels(len(listed), ax, ncols=ncols, size=(2.4, 2.0), sharex=True)
        for i, (panel, gene) in enumerate(zip(axes, listed, strict=True)):
            for color, lineage in zip(PALETTE, lineages, strict=False):
                for condition, style in (("control", "-"), ("perturbed", "--")):
                    rows = (obs["trajectory"].astype(str) == lineage) & (obs["condition"].astype(str) == condition)
                    panel.plot(obs.loc[rows, "time"], values.loc[rows, gene], color=color, ls=style)
            panel.set_title(gene, loc="left", fontweight="bold")
            if i % ncols == 0:
                panel.set_ylabel("predicted expression")
            if i >= len(listed) - ncols:
                panel.set_xlabel(str(perturbed.uns.get("time_name", "time")))
                panel.tick_params(labelbottom=True)
        table = columns(perturbed.uns["perturbation"], ["gene", "level"], argument="perturbed.uns['perturbation']")
        held = ", ".join(f"{gene} = {level:.2g}" for gene, level in zip(table["gene"], table["level"], strict=True))
        entries = [Line2D([], [], color=INK, label="unperturbed"), Line2D([], [], color=INK, ls="--", label=held)]
        if len(lineages) > 1:
            entries += [Line2D([], [], color=c, lw=3, label=name) for c, name in zip(PALETTE, lineages, strict=False)]
        if ax is None:
            figure.legend(handles=entries, loc="outside lower center", ncols=4)
        else:
            axes[0].legend(handles=entries, loc="best")
    return finish(figure, axes, ax=ax, show=show, return_fig=return_fig)


@guarded
def networks(
    adata: Any,
    keys: Sequence[str],
    *,
    n_edges: int = 25,
    focus: str | Sequence[str] | None = None,
    ncols: int = 2,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the networks of several fits side by side, one lineage (or strategy) each, as :func:`scdash.pl.network`.

    Parameters
    ----------
    adata
        AnnData with the fits.
    keys
        Names of the fits.
    n_edges, focus
        As in :func:`scdash.pl.network`.
    ncols
        Panels a row.
    ax, show, return_fig
        See :mod:`scdash.pl`.
    """
    if isinstance(keys, str) or not len(keys):
        raise ValueError(f"keys must list the names of fits, found {keys!r}.{suggest(str(keys), adata.uns)}")
    with house():
        figure, axes = panels(len(keys), ax, ncols=ncols, size=(6.2, 5.2))
        for panel, key in zip(axes, keys, strict=True):
            network(adata, key=key, n_edges=n_edges, focus=focus, ax=panel, show=False)
            caption = panel.get_title(loc="left")
            panel.set_title(
                f"{key}\n{caption}" if caption else str(key), loc="left", fontsize="small", fontweight="bold"
            )
    return finish(figure, axes, ax=ax, show=show, return_fig=return_fig)
