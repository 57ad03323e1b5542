"""What interventions do: arrows on an embedding, scores of regulators, genes before and after, networks side by side."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from scdash._errors import NotFittedError, suggest, unknown
from scdash.metrics._edges import is_anndata
from scdash.pl._embedding import _scale, _stored, _values, frame, scatter
from scdash.pl._network import network
from scdash.pl._projection import project_velocity
from scdash.pl._read import columns, embedding_of, expression, positions
from scdash.pl._style import ACTIVATION, INK, MUTED, PALETTE, REPRESSION, Drawn, finish, house, panels
from scdash.pl._velocity import _grid_arrows, _quiver


def perturbation_shift(
    adata: Any,
    color: str | None = None,
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
    ax: Axes | None = None,
    show: bool | None = None,
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
        Column of `obs` or gene to colour the cells by.
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
    genes = adata.var_names[np.isfinite(np.asarray(adata.layers[shift][:1])).ravel()]
    states, moved = expression(adata, list(genes), layer), expression(adata, list(genes), shift)
    arrows = project_velocity(states, moved, points, n_neighbors=n_neighbors)
    values = None if color is None else _values(adata, color, layer)
    held = (
        ", ".join(str(gene) for gene in np.atleast_1d(adata.uns[shift]["params"]["genes"]))
        if shift in adata.uns
        else ""
    )
    with house():
        figure, (panel,) = panels(1, ax, size=(5.4, 4.4))
        scatter(panel, points, values, color, size=size or float(np.clip(9e4 / len(points), 4, 60)), palette=palette,
                stored=_stored(adata, color), alpha=0.45, bar_label=color, **_scale(values, cmap, vmin, vmax, vcenter))  # fmt: skip
        _quiver(panel, *(_grid_arrows(points, arrows, density, smooth) if kind == "grid" else (points, arrows)))
        action = str(adata.uns[shift]["params"]["kind"]) if shift in adata.uns else "shift"
        panel.set_title(f"{held} {action}".strip(), loc="left", fontweight="bold")
        frame(panel, name)
    return finish(figure, [panel], ax=ax, show=show, return_fig=return_fig)


def perturbation_scores(
    data: Any,
    *,
    key: str = "dynamics",
    trajectory: str | None = None,
    n_top: int = 10,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Drawn:
    """Draw the regulators whose knock-out (or over-expression) moves a lineage most, back and ahead along its path.

    Parameters
    ----------
    data
        AnnData after `scdash.tl.perturbation_scores`, or its table.
    key
        Name of the fit.
    trajectory
        Lineage; None: the mean over all.
    n_top
        Genes at either end.
    ax, show, return_fig
        See :mod:`scdash.pl`.
    """
    table = data
    if is_anndata(data):
        entry = data.uns.get(f"{key}_perturbation_scores")
        if not isinstance(entry, dict):
            raise NotFittedError(
                f"No scores under adata.uns. Run `scdash.tl.perturbation_scores(adata, key={key!r})` first."
            )
        table = entry["table"]
    table = columns(table, ["gene", "trajectory", "score", "spread"], argument="data")
    if trajectory is not None:
        if trajectory not in set(table["trajectory"].astype(str)):
            raise unknown("trajectory", trajectory, pd.unique(table["trajectory"].astype(str)))
        table = table[table["trajectory"].astype(str) == trajectory]
    mean = table.groupby(table["gene"].astype(str))[["score", "spread"]].mean().sort_values("score", kind="stable")
    if 2 * n_top < len(mean):
        mean = pd.concat([mean.head(n_top), mean.tail(n_top)])
    with house():
        figure, (panel,) = panels(1, ax, size=(4.2, 1.1 + 0.2 * len(mean)))
        place = np.arange(len(mean))
        color = np.where(mean["score"] < 0, REPRESSION, ACTIVATION)
        panel.axvline(0, color=INK, lw=0.8)
        panel.hlines(place, 0, mean["score"], color=list(color), lw=1.0, alpha=0.45)
        if mean["spread"].notna().any():
            panel.errorbar(
                mean["score"], place, xerr=mean["spread"], fmt="none", ecolor=MUTED, elinewidth=1.2, capsize=2
            )
        panel.scatter(mean["score"], place, c=list(color), s=30, zorder=3)
        panel.set_yticks(place, mean.index)
        panel.set(ylim=(len(mean) - 0.5, -0.5), xlabel="shift of the end, share of the path (negative: held back)")
        panel.tick_params(axis="y", length=0)
        panel.xaxis.set_major_locator(MaxNLocator(5))
        panel.set_title(trajectory or "", loc="left")
    return finish(figure, [panel], ax=ax, show=show, return_fig=return_fig)


def knockout_trends(
    perturbed: Any,
    genes: str | Sequence[str] | None = None,
    *,
    n_cols: int = 4,
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
    n_cols
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
        figure, axes = panels(len(listed), ax, n_cols=n_cols, size=(2.4, 2.0), sharex=True)
        for i, (panel, gene) in enumerate(zip(axes, listed, strict=True)):
            for color, lineage in zip(PALETTE, lineages, strict=False):
                for condition, style in (("control", "-"), ("perturbed", "--")):
                    rows = (obs["trajectory"].astype(str) == lineage) & (obs["condition"].astype(str) == condition)
                    panel.plot(obs.loc[rows, "time"], values.loc[rows, gene], color=color, ls=style)
            panel.set_title(gene, loc="left", fontweight="bold")
            if i % n_cols == 0:
                panel.set_ylabel("predicted expression")
            if i >= len(listed) - n_cols:
                panel.set_xlabel(str(perturbed.uns.get("time_name", "time")))
                panel.tick_params(labelbottom=True)
        held = ", ".join(f"{gene} = {level:.2g}" for gene, level in perturbed.uns["perturbation"].items())
        entries = [Line2D([], [], color=INK, label="unperturbed"), Line2D([], [], color=INK, ls="--", label=held)]
        if len(lineages) > 1:
            entries += [Line2D([], [], color=c, lw=3, label=name) for c, name in zip(PALETTE, lineages, strict=False)]
        if ax is None:
            figure.legend(handles=entries, loc="outside lower center", ncols=4)
        else:
            axes[0].legend(handles=entries, loc="best")
    return finish(figure, axes, ax=ax, show=show, return_fig=return_fig)


def networks(
    adata: Any,
    keys: Sequence[str],
    *,
    n_edges: int = 25,
    focus: str | Sequence[str] | None = None,
    n_cols: int = 2,
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
    n_cols
        Panels a row.
    ax, show, return_fig
        See :mod:`scdash.pl`.
    """
    if isinstance(keys, str) or not len(keys):
        raise ValueError(f"keys must list the names of fits, found {keys!r}.{suggest(str(keys), adata.uns)}")
    with house():
        figure, axes = panels(len(keys), ax, n_cols=n_cols, size=(6.2, 5.2))
        for panel, key in zip(axes, keys, strict=True):
            network(adata, key=key, n_edges=n_edges, focus=focus, ax=panel, show=False)
            panel.set_title(str(key), loc="left", fontweight="bold")
    return finish(figure, axes, ax=ax, show=show, return_fig=return_fig)
