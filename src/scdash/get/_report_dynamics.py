"""Sections of the HTML report on fits of dynamics and of screens."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scdash._core.drawing import colors_among, not_below_observed, trajectory_colors
from scdash._core.errors import unused
from scdash._core.fit_settings import FitSettings
from scdash._core.keys import genes_of, require_fit
from scdash._core.tables import ranked_edges, score_table
from scdash._core.time_axis import time_axis
from scdash._core.trajectories import StoredTrajectories
from scdash._core.values import shown
from scdash._data import all_genes, listed_names
from scdash.get._html import facts, note, section, table, verdict
from scdash.get._svg import Curve, legend, network_svg, trends_svg

N_EDGES = 80  # edges that are drawn unless asked otherwise: names stay readable
MOST_EDGES, MOST_GENES, MOST_TRAJECTORIES, MOST_KNOCKOUTS = 1000, 12, 6, 25


def dynamics_sections(
    adata: AnnData, key: str, *, genes: str | Sequence[str] | None, n_edges: int
) -> tuple[str, list[str], Mapping[str, Any]]:
    """Return what kind of fit it is, the sections of its page, and the stored fit."""
    if isinstance(n_edges, bool) or int(n_edges) != n_edges or not 1 <= n_edges <= MOST_EDGES:
        raise ValueError(f"n_edges must be a whole number from 1 to {MOST_EDGES:,}, found {n_edges!r}.")
    entry = require_fit(adata, key)
    on_screen = "screen" in entry
    if on_screen and genes is not None:
        raise unused("genes", "a screen has no trajectories to draw")
    report = "\n".join(str(entry[name]) for name in ("report", "details") if str(entry.get(name) or ""))
    sections = [
        section("Result", verdict(report)),
        section("Errors", table(entry["errors"].reset_index(drop=True))),
        _screen(entry) if on_screen else _trajectories(adata, entry, key, genes),
        _network(adata, key, n_edges),
        _knockouts(adata, key),
        section("Settings", facts(settings_of(entry))),
    ]
    count = f"{len(entry['genes']):,} genes, {int((entry['edges']['weight'] != 0).sum()):,} edges"
    return f"Fit of {'a perturbation screen' if on_screen else 'dynamics'}: {count}", sections, entry


def _trajectories(adata: AnnData, entry: Mapping[str, Any], key: str, genes: str | Sequence[str] | None) -> str:
    series, here = entry["series"], genes_of(adata, entry, key)
    names = here.names
    states, fitted, time = (np.asarray(series[name], dtype=np.float64) for name in ("states", "fitted", "time"))
    fitted = not_below_observed(fitted, states.min(axis=0))
    known = StoredTrajectories.of(series)
    drawn = known.originals[:MOST_TRAJECTORIES]
    stored = trajectory_colors(adata, FitSettings.of(entry, key).text("trajectory_key"), drawn)
    colors = colors_among(known.originals, drawn, None, stored)
    if genes is None:
        change = np.where(here.present, np.ptp(states, axis=0), -1.0)
        at = np.argsort(-change, kind="stable")[: min(MOST_GENES, int(here.present.sum()))]
    else:
        at = all_genes(listed_names(genes), names[here.present], "genes")
        at = np.flatnonzero(here.present)[at]
    axis = time_axis(adata, entry, key)
    panels = []
    for gene in at:
        curves = []
        for name in drawn:
            rows = known.rows(name)
            rows = rows[np.argsort(time[rows], kind="stable")]
            curves.append(Curve(name, colors[name], axis.shown(time[rows]), states[rows, gene], fitted[rows, gene]))
        panels.append(trends_svg(str(names[gene]), curves, axis.name))
    words = (
        "Circles: observed states (means of cells, where cells were fitted). Lines: simulated by the model from the "
    )
    words += "first state of each trajectory."
    if len(known.originals) > len(drawn):
        words += f" {len(drawn)} of {len(known.originals)} trajectories are shown."
    shown_panels = f'<div class="panels">{"".join(panels)}</div>'
    return section("Trajectories", note(words), legend({name: colors[name] for name in drawn}), shown_panels)


def _screen(entry: Mapping[str, Any]) -> str:
    """Return the perturbations of a screen, those with the largest observed change first."""
    screen = entry["screen"]
    found = pd.DataFrame(
        {
            "perturbation": [str(name) for name in screen["perturbations"]],
            "kind": [str(name) for name in screen["kinds"]],
            "cells": np.asarray(screen["cells"], dtype=int),
            "size of the observed change": np.linalg.norm(np.asarray(screen["change"], dtype=np.float64), axis=1),
        }
    )
    control = {str(name) for name in entry["params"]["control"]}
    found = found[~found["perturbation"].isin(control)]
    name = "size of the observed change"
    found = found.sort_values(name, ascending=False, kind="stable").head(MOST_KNOCKOUTS)
    words = f"The {len(found)} perturbations with the largest change from control (Euclidean norm over genes)."
    return section("Perturbations", note(words), table(found, bars=name))


def _network(adata: AnnData, key: str, n_edges: int) -> str:
    edges = ranked_edges(adata, key, only_network=True)
    edges = edges[edges["source"] != edges["target"]]
    if edges.empty:
        return section("Network", note("The fitted network has no edge between two genes."))
    top = edges.head(n_edges)
    words = (
        f"The {len(top):,} strongest of {len(edges):,} edges between two genes, in the order of scdash.get.grn. Red arrows "
        "activate, blue bars repress; width grows with the weight; regulators are yellow."
    )
    if bool(top["in_prior"].any()):
        words += " Dashed edges are not in the prior."
    columns = ["source", "target", "weight", "contribution", "in_prior", "score", "rank"]
    first = top[[name for name in columns if name in top]].head(20)
    details = f"<details><summary>The first {len(first)} edges as a table</summary>{table(first)}</details>"
    return section("Network", note(words), network_svg(top), details)


def _knockouts(adata: AnnData, key: str) -> str:
    if f"{key}_perturbation_scores" not in adata.uns:
        words = f"Not computed. Run scdash.tl.perturbation_scores(adata, key={key!r}) to rank genes by the effect of their knockout."
        return section("Knockouts", note(words)) if "screen" not in adata.uns[key] else ""
    scores = score_table(adata, key)
    columns = [name for name in ("gene", "lineage", "score", "rank", "expression", "n_targets") if name in scores]
    bars = "score" if "score" in columns else None
    words = f"The first {min(MOST_KNOCKOUTS, len(scores))} of {len(scores)} predicted knockouts. "
    return section(
        "Knockouts", note(words + str(scores.attrs["report"])), table(scores[columns].head(MOST_KNOCKOUTS), bars=bars)
    )


def settings_of(entry: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return the settings that are single values, then the arguments of the call."""
    params = entry["params"]
    plain = [
        (str(name), value.item() if isinstance(value, np.generic) else value)
        for name, value in params.items()
        if isinstance(value, str | bool | int | float | np.generic)
    ]
    arguments = [(f"{name} (as given)", str(text)) for name, text in (params.get("arguments") or {}).items()]
    lists = [
        (str(name), shown([str(one) for one in value]) if len(value) <= 10 else f"{len(value):,} names")
        for name, value in params.items()
        if isinstance(value, np.ndarray | list)
    ]
    return [*arguments, *plain, *lists]
