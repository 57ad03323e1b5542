"""Sections of the HTML report on paired modalities."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from scdash._core.errors import unused
from scdash._core.keys import require_paired
from scdash.get._html import facts, note, section, table, verdict
from scdash.get._report_dynamics import N_EDGES, settings_of
from scdash.get._sbnn import selected_genes
from scdash.get._svg import points_svg

MOST_POINTS = 3000


def paired_sections(
    mdata: MuData, key: str, *, genes: str | Sequence[str] | None, n_edges: int
) -> tuple[str, list[str], Mapping[str, Any]]:
    """Return what kind of fit it is, the sections of its page, and the stored fit."""
    if genes is not None:
        raise unused("genes", "a fit of paired modalities has no trajectories to draw")
    if n_edges != N_EDGES:
        raise unused("n_edges", "a fit of paired modalities has no network of genes")
    entry = require_paired(mdata, key, "sbnn")
    selected = selected_genes(mdata, key=key)
    sections = [
        section("Result", verdict(str(entry["report"]))),
        section("Errors", facts(_figures(entry.get("metrics"))), _per_feature(entry)),
        _latent(mdata, key),
        section("Selected genes", table(selected, bars="norm")),
        section("Settings", facts(settings_of(entry))),
    ]
    return f"Paired modalities: {len(entry['features'])} features from {len(selected)} genes", sections, entry


def _figures(metrics: Any) -> list[tuple[str, object]]:
    return [(str(name), float(value)) for name, value in dict(metrics or {}).items()]


def _per_feature(entry: Mapping[str, Any]) -> str:
    found = entry.get("per_feature")
    return "" if found is None else table(pd.DataFrame(found).reset_index(drop=True))


def _latent(mdata: MuData, key: str) -> str:
    slot = f"X_{key}"
    points = np.asarray(mdata.obsm[slot], dtype=np.float64) if slot in mdata.obsm else np.zeros((0, 0))
    if points.ndim != 2 or points.shape[1] != 2:
        return ""
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return ""
    step = -(-len(points) // MOST_POINTS)
    words = f"Cells in the bottleneck of the network, {len(points[::step]):,} of {len(points):,}."
    panel = points_svg(points[::step], "Latent space", ("unit 1", "unit 2"))
    return section("Latent space", note(words), f'<div class="panels">{panel}</div>')
