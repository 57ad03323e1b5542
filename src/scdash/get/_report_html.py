"""A whole fit as one file of HTML that needs nothing else: to send, to keep, to put beside a paper."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData

from scdash._core.fit_record import own_version
from scdash._core.keys import stored_key
from scdash._core.process_state import guarded
from scdash.get._html import facts, page, section
from scdash.get._report_dynamics import N_EDGES, dynamics_sections
from scdash.get._report_paired import paired_sections


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
    where = Path(path)
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_text(text, encoding="utf-8")
    return where


def _versions(entry: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return the versions that the fit was made with, and the format it is stored in."""
    stored = entry["params"].get("versions") or {}
    found: list[tuple[str, object]] = [(str(name), str(text)) for name, text in sorted(stored.items())]
    return [*found, ("format of the stored fit", int(np.asarray(entry.get("format", 1)).item()))]
