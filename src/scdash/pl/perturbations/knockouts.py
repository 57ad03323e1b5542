"""Genes over time with and without an intervention, and how far every gene is changed by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from scdash._core.display import first_names, some_names
from scdash._core.drawing import colors_among, not_below_observed, stored_colors
from scdash._core.errors import check_least
from scdash._core.fit_genes import fit_genes
from scdash._core.logging import logger
from scdash.metrics.edge_lists import is_anndata
from scdash.pl.shared.labels import TITLE, cut, name_points
from scdash.pl.shared.options import FigureOptions, drawing
from scdash.pl.shared.read import columns, expression, positions
from scdash.pl.shared.style import ACTIVATION, INK, MUTED, REPRESSION, Drawn, finish, house, legend_below, panels

MOST = 6  # starts drawn
EQUAL = 1e-6  # of the fit's time: what ends so little beyond the axis ends on it
WIDEST = 40  # letters of the genes that are held, before the others are counted
LONGEST = 60  # letters of the line that names starts


@dataclass(frozen=True)
class Paths:
    """Predicted and observed values of the genes that are drawn."""

    genes: list[str]
    time: NDArray[np.float64]  # (rows,), as it is drawn
    trajectory: NDArray[np.str_]  # (rows,)
    perturbed: NDArray[np.bool_]  # (rows,)
    values: NDArray[np.float64]  # (rows, genes)
    spread: NDArray[np.float64] | None  # (rows, genes), standard deviation over models
    observed: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]  # trajectory: times, (states, genes)
    lowest: NDArray[np.float64]  # (genes,), of the observed states
    time_name: str
    colors: dict[str, str]  # of the trajectories


@drawing
def knockout_trends(
    perturbed: AnnData,
    genes: str | Sequence[str] | None = None,
    *,
    observed: bool = True,
    ncols: int = 4,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw genes over time without (solid) and with an intervention (dashed), as predicted by `scdash.tl.perturb`.

    The genes that are held come first. Bands are one standard deviation over the models of the fit (`n_models` > 1);
    circles are the observed, unperturbed states that the model was fitted to, so that its own error can be seen beside the
    effect. Where it is not known at which place of the time axis a start lies (such as an array), or where predictions run
    beyond the times of the data and the axis is the user's own time, time counts from the start, and nothing observed is drawn.
    Of a gene that was nowhere observed below 0, predictions below 0 are drawn at 0.

    Parameters
    ----------
    perturbed
        AnnData returned by `scdash.tl.perturb`.
    genes
        Genes to draw; None: the held ones (two at most) and those that change most, eight in all.
    observed
        Draw the observed states, where there are any of the predicted trajectories.
    ncols
        Panels a row.

    See Also
    --------
    scdash.tl.perturb : Predict trajectories with some genes held at a level, beside the unperturbed ones.
    scdash.pl.knockout_volcano : Draw how far an intervention changes every gene, against how certain the change is, as a volcano.

    Examples
    --------
    >>> gene = scdash.get.perturbable_genes(adata)["gene"].iloc[0]
    >>> axes = scdash.pl.knockout_trends(scdash.tl.perturb(adata, gene))
    """
    paths = _paths(perturbed, genes)
    every = list(dict.fromkeys(paths.trajectory.tolist()))
    lineages = every[:MOST]
    if len(every) > MOST:
        logger.info(
            "Drawing the first %d of %d starts; choose others with scdash.tl.perturb(start=).", MOST, len(every)
        )
    table = columns(perturbed.uns["perturbation"], ["gene", "level"], argument="perturbed.uns['perturbation']")
    with house():
        figure, axes = panels(len(paths.genes), page, ncols=ncols, size=(2.4, 2.0), sharex=True)
        for i, (panel, gene) in enumerate(zip(axes, paths.genes, strict=True)):
            for lineage in lineages:
                _draw(panel, paths, i, lineage, observed=observed)
            held = " (held)" if gene in set(table["gene"].astype(str)) else ""
            panel.set_title(cut(gene, TITLE - len(held)) + held, loc="left", fontweight="bold")
            if paths.lowest[i] >= 0:
                panel.set_ylim(bottom=0)
            if i % ncols == 0:
                panel.set_ylabel("expression")
            if i >= len(paths.genes) - ncols:
                panel.set_xlabel(paths.time_name)
                panel.tick_params(labelbottom=True)
        entries = _entries(paths, lineages, table, observed=observed)
        legend_below(figure, axes[0], entries, own=page.get("ax") is None)
    return finish(figure, axes, "knockout_trends", page)


def _paths(perturbed: Any, genes: str | Sequence[str] | None) -> Paths:
    for name in ("condition", "trajectory", "time"):
        if not is_anndata(perturbed) or name not in perturbed.obs:
            raise ValueError(
                "perturbed must be what scdash.tl.perturb returns: obs['condition'], 'trajectory', 'time'."
            )
    if not perturbed.n_obs:
        raise ValueError("perturbed has no rows: there is nothing to draw.")
    if genes is None:
        change = perturbed.uns["change"]
        held = change["held"].astype(bool)
        genes = [*change.loc[held, "gene"].astype(str)[:2]]
        genes += list(change.loc[~held, "gene"].astype(str)[: 8 - len(genes)])
    names = pd.Index(perturbed.var_names.astype(str))
    at = positions(genes, names)
    listed = list(names[at])
    obs = perturbed.obs
    position = np.asarray(obs["position"] if "position" in obs else obs["time"], dtype=np.float64)
    axis = perturbed.uns.get("time_axis")
    placed = bool(np.isfinite(position).all()) and (axis is None or position.max() <= np.max(axis["fitted"]) + EQUAL)

    def shown(time: Any) -> NDArray[np.float64]:
        values = np.asarray(time, dtype=np.float64)
        return values if axis is None else np.interp(values, np.asarray(axis["fitted"]), np.asarray(axis["shown"]))

    found = perturbed.uns.get("observed") or {}
    names_of_states = np.array([str(one) for one in found.get("trajectory", ())], dtype=str)
    states = np.asarray(found["states"], dtype=np.float64)[:, at] if len(names_of_states) else np.empty((0, len(at)))
    observed = {}
    for name in dict.fromkeys(names_of_states.tolist()) if placed else ():
        rows = np.flatnonzero(names_of_states == name)
        rows = rows[np.argsort(np.asarray(found["time"])[rows], kind="stable")]
        observed[name] = (shown(np.asarray(found["time"])[rows]), states[rows])
    trajectory = obs["trajectory"].astype("category").astype(str)
    categories = [str(name) for name in obs["trajectory"].astype("category").cat.categories]
    starts = list(dict.fromkeys([*categories, *trajectory]))  # a start without a name is drawn, too
    every = list(dict.fromkeys(names_of_states.tolist()))
    values = expression(perturbed, listed, None)
    lowest = (states if len(states) else values).min(axis=0)
    return Paths(
        listed,
        shown(position) if placed else np.asarray(obs["time"], dtype=np.float64),
        trajectory.to_numpy(dtype=str),
        (obs["condition"].astype(str) == "perturbed").to_numpy(),
        not_below_observed(values, lowest),
        expression(perturbed, listed, "spread") if "spread" in perturbed.layers else None,
        observed,
        lowest,
        str(perturbed.uns.get("time_name", "time")) if placed else "time since the start",
        colors_among(
            every if set(starts) <= set(every) else starts,
            starts,
            None,
            stored_colors(perturbed.uns, "trajectory", categories),
        ),
    )


def _draw(ax: Axes, paths: Paths, gene: int, lineage: str, *, observed: bool) -> None:
    color = paths.colors[lineage]
    if observed and lineage in paths.observed:
        time, states = paths.observed[lineage]
        ax.scatter(time, states[:, gene], s=9, color=color, alpha=0.35, lw=0, clip_on=False, gid="observed")
    for perturbed, style in ((False, "-"), (True, "--")):
        rows = (paths.trajectory == lineage) & (paths.perturbed == perturbed)
        ax.plot(paths.time[rows], paths.values[rows, gene], color=color, ls=style, zorder=3)
        if paths.spread is not None:
            middle, spread = paths.values[rows, gene], paths.spread[rows, gene]
            low = not_below_observed(middle - spread, paths.lowest[gene])
            ax.fill_between(paths.time[rows], low, middle + spread, color=color, alpha=0.2, lw=0, gid="spread")


def _entries(paths: Paths, lineages: Sequence[str], table: pd.DataFrame, *, observed: bool) -> list[Any]:
    entries: list[Any] = [
        Line2D([], [], color=INK, label="unperturbed (model)"),
        Line2D([], [], color=INK, ls="--", label=f"{_held_in_words(table)} (model)"),
    ]
    if paths.spread is not None:
        entries.append(Patch(color=INK, alpha=0.2, lw=0, label="± 1 sd over models"))
    if observed and any(name in paths.observed for name in lineages):
        entries.append(Line2D([], [], ls="", marker="o", ms=4, color=INK, alpha=0.35, label="observed, unperturbed"))
    if len(lineages) > 1 or len(paths.observed) > 1:
        entries += [Line2D([], [], color=paths.colors[name], lw=3, label=name) for name in lineages]
    return entries


def _held_in_words(table: pd.DataFrame) -> str:
    """Return which genes are held, and at what level: as many as a line has room for."""
    each = [f"{cut(gene, TITLE)} = {level:.2g}" for gene, level in zip(table["gene"], table["level"], strict=True)]
    named = next((n for n in range(len(each), 1, -1) if len(", ".join(each[:n])) <= WIDEST), 1)
    return first_names(each, named, " and {} more")


def _starts_in_words(perturbed: AnnData) -> str:
    """Return a line that names the starts that changes are a mean of, or the one start of a fit with several trajectories."""
    if "trajectory" not in perturbed.obs or not perturbed.n_obs:
        return ""
    starts = list(dict.fromkeys(perturbed.obs["trajectory"].astype(str)))
    if len(starts) > 1:
        return "\n" + shorten(f"mean of {some_names(starts, 'starts')}", LONGEST, placeholder=" ...")
    several = len({str(name) for name in (perturbed.uns.get("observed") or {}).get("trajectory", ())}) > 1
    return f"\n{shorten(f'start: {starts[0]}', LONGEST, placeholder=' ...')}" if several else ""


@drawing
def knockout_volcano(
    perturbed: AnnData,
    *,
    n_labels: int = 12,
    **page: Unpack[FigureOptions],
) -> Drawn:
    """Draw how far an intervention changes every gene, against how certain the change is, as a volcano.

    The horizontal axis is the predicted change at the end of the trajectory, in the units of expression. A model gives no
    p-value. With replicate models (`n_models` > 1) the vertical axis is the absolute change over its standard deviation
    over models, dashed at 2; without them it is the change relative to the unperturbed level (at least the median level of
    the genes, so that genes near 0 do not fill the figure), which says nothing about certainty. Genes that are held are left
    out. Where `perturbed` has several starts, such as the lineages of a fit, changes are means over them, which the axis
    says: give `scdash.tl.perturb(start=)` the name of one for its own.

    Parameters
    ----------
    perturbed
        AnnData returned by `scdash.tl.perturb`.
    n_labels
        Genes that are named: those with the largest changes, as many increases as decreases where there are any of note.

    See Also
    --------
    scdash.tl.perturb : Predict trajectories with some genes held at a level, beside the unperturbed ones.
    scdash.pl.knockout_trends : Draw genes over time without (solid) and with an intervention (dashed), as predicted by `scdash.tl.perturb`.

    Examples
    --------
    >>> gene = scdash.get.perturbable_genes(adata)["gene"].iloc[0]
    >>> ax = scdash.pl.knockout_volcano(scdash.tl.perturb(adata, gene))
    """
    if not is_anndata(perturbed) or "change" not in perturbed.uns:
        raise ValueError("perturbed must be what scdash.tl.perturb returns: uns['change'].")
    check_least("n_labels", n_labels, 0)
    table = columns(perturbed.uns["change"], ["gene", "control", "change", "held", "spread"], argument="uns['change']")
    table = fit_genes(perturbed, table["gene"].astype(str), "perturbed.uns['change']").rows(table, "gene")
    table = table[~table["held"].astype(bool)]
    change = table["change"].to_numpy(dtype=float)
    certain = bool(table["spread"].notna().any())
    scale = table["spread"].to_numpy(dtype=float) if certain else np.abs(table["control"].to_numpy(dtype=float))
    typical = float(np.median(scale[scale > 0])) if (scale > 0).any() else 1.0
    # A gene that no model moves has no spread to speak of; one that is hardly expressed changes by many times its level.
    least = 0.05 * typical if certain else typical
    height = np.abs(change) / np.maximum(scale, least)
    with house():
        figure, (panel,) = panels(1, page, size=(4.6, 3.8))
        color = np.where(change > 0, ACTIVATION, REPRESSION)
        if certain:
            color = np.where(height >= 2, color, MUTED)
            panel.axhline(2, color=MUTED, lw=1, ls="--", zorder=0)
        panel.scatter(change, height, s=14, c=list(color), lw=0, alpha=0.8, zorder=2)
        panel.axvline(0, color=MUTED, lw=0.8, zorder=0)
        if certain and height.max() > 50:
            panel.set_yscale("symlog", linthresh=2)
        panel.margins(y=0.08)
        panel.set_ylim(bottom=0)
        relative = f"absolute change / unperturbed level\n(at least {least:.2g}, the median)"
        words = "absolute change / sd over models" if certain else relative
        panel.set(xlabel=f"change at the end (expression){_starts_in_words(perturbed)}", ylabel=words)
        panel.set_title(_held_in_words(perturbed.uns["perturbation"]), loc="left", fontweight="bold")
        names = table["gene"].astype(str).to_numpy(dtype=str)
        name_points(panel, change, height, names, _rank_on_its_side(change), n_labels)
    return finish(figure, [panel], "knockout_volcano", page)


def _rank_on_its_side(change: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return in which order changes are named, the highest first: by size among changes of one sign; 0 of those hardly changed."""
    size = np.abs(change)
    rank = np.zeros(len(change))
    for side in (change > 0, change < 0):
        kept = np.flatnonzero(side & (size > 0.05 * size.max(initial=0.0)))
        rank[kept[np.argsort(-size[kept], kind="stable")]] = 1 / np.arange(1.0, len(kept) + 1)
    return rank
