"""A whole fit as one file of HTML that needs nothing else: to send, to keep, to put beside a paper."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scdash._core.errors import unused
from scdash._core.fit_record import own_version
from scdash._core.keys import require_paired, stored_key
from scdash._core.process_state import guarded
from scdash.get._formats import write_text, written
from scdash.get._html import facts, note, page, section, table, verdict
from scdash.get._report_dynamics import N_EDGES, dynamics_sections, settings_of
from scdash.get._sbnn import selected_genes
from scdash.get._svg import points_svg

MOST_POINTS = 3000


@guarded
def report_html(
    adata: AnnData | MuData,
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    genes: str | Sequence[str] | None = None,
    n_edges: int = N_EDGES,
) -> Path:
    """Write a fit as one HTML file: verdict, errors, trajectories, network, knockouts, settings and versions.

    The file holds everything that it shows: it loads nothing from the network, works offline, and stays under 2 MB. The
    network can be searched, filtered and moved.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` or `scdash.tl.fit_perturbode` has written to, or a MuData that
        `scdash.tl.sbnn` has written to.
    path
        File to write, such as "fit.html". Missing folders are made.
    key
        The `key_added` of the fit; None: "dynamics" for AnnData, for MuData "sbnn" or the only fit there is.
    genes
        Genes whose trajectories are drawn; None: the twelve that change most. Only for fits over time.
    n_edges
        Strongest edges that are drawn, 1 to 1,000. Not for MuData.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.
    KeyError
        If `genes` are not in the model.
    ValueError
        If `n_edges` is out of range, or an argument has no meaning for this kind of fit.

    See Also
    --------
    scdash.get.report : The errors as a table, and the report in words.
    scdash.get.network : The network for other tools.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> scdash.get.report_html(adata, f"{folder}/fit.html").name
    'fit.html'
    """
    name = stored_key(adata, key)
    sections_of = paired_sections if hasattr(adata, "mod") else dynamics_sections
    kind, sections, entry = sections_of(adata, name, genes=genes, n_edges=n_edges)
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    sections = [*sections, section("Versions", facts(_versions(entry)))]
    text = page(f"scdash report: {name}", f"{kind}. Written by scdash {own_version()} on {made}.", sections)
    where: Path = written(text, path, write_text)
    return where


def _versions(entry: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return the versions that the fit was made with, and the format it is stored in."""
    stored = entry["params"].get("versions") or {}
    found: list[tuple[str, object]] = [(str(name), str(text)) for name, text in sorted(stored.items())]
    return [*found, ("format of the stored fit", int(np.asarray(entry.get("format", 1)).item()))]


def paired_sections(
    mdata: MuData, key: str, *, genes: str | Sequence[str] | None, n_edges: int
) -> tuple[str, list[str], Mapping[str, Any]]:
    """Return what kind of fit it is, the sections of its page, and the stored fit."""
    if genes is not None:
        raise unused("genes", "a fit of paired modalities has no trajectories to draw")
    if n_edges != N_EDGES:
        raise unused("n_edges", "a fit of paired modalities has no network of genes")
    entry = require_paired(mdata, key, "sbnn")
    selected, figures, found = (
        selected_genes(mdata, key=key),
        dict(entry.get("metrics") or {}),
        entry.get("per_feature"),
    )
    features = "" if found is None else table(pd.DataFrame(found).reset_index(drop=True))
    sections = [
        section("Result", verdict(str(entry["report"]))),
        section("Errors", facts((str(name), float(value)) for name, value in figures.items()), features),
        _latent(mdata, key),
        section("Selected genes", table(selected, bars="norm")),
        section("Settings", facts(settings_of(entry))),
    ]
    return f"Paired modalities: {len(entry['features'])} features from {len(selected)} genes", sections, entry


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
