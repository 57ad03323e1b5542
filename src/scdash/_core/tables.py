"""Tables of stored results as `scdash.get` returns them and `scdash.pl` draws them: one reader of each."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scdash._core.edges.order import BY_PRIOR, association, n_tied, rank_edges, ranked_by
from scdash._core.errors import NotFittedError, check_data
from scdash._core.fit_genes import fit_genes
from scdash._core.keys import genes_of, require_fit, require_result
from scdash._core.logging import logger

if TYPE_CHECKING:
    from anndata import AnnData


def network_edges(adata: "AnnData", key: str, *, candidates: bool = False) -> pd.DataFrame:
    """Return the stored edges between genes that the data still have: those of the network and of the prior.

    `candidates`: of screens also pairs of genes that are in neither, and that have a score. `ranked_by` says what scores
    rest on.
    """
    entry = require_fit(adata, key)
    edges = genes_of(adata, entry, key).rows(entry["edges"], "source", "target").copy()
    for name in ("source", "target"):
        edges[name] = edges[name].astype(str)
    edges["in_prior"] = edges["in_prior"].astype(bool)
    if not (candidates and "screen" in entry):
        edges = edges[(edges["weight"] != 0) | edges["in_prior"]].reset_index(drop=True)
    return edges.assign(ranked_by=ranked_by(entry))


def ranked_edges(adata: "AnnData", key: str, *, only_network: bool) -> pd.DataFrame:
    """Return `network_edges` by rank, with `association`; the log says how many edges nothing tells apart."""
    edges = network_edges(adata, key, candidates=not only_network)
    if only_network:
        edges = edges[edges["weight"] != 0]
    edges = rank_edges(edges.assign(association=association(edges, require_fit(adata, key))))
    if (edges["ranked_by"] == BY_PRIOR).any():
        logger.info(
            "    the data do not tell edges of the prior from other pairs of genes: they come first because the prior has "
            "them, and the data order them among themselves (ranked_by is %r)",
            BY_PRIOR,
        )
    tied = n_tied(edges)
    if tied:
        logger.info(
            "    %d of %d edges share their rank with others: nothing in the data tells them apart, and their order is "
            "random",
            tied,
            len(edges),
        )
    return edges


def influence_table(adata: "AnnData", key: str, *, by_time: bool) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the influences of the genes that the data still have, and the agreement of the models."""
    check_data(adata)
    slot, run = f"{key}_influence", f"scdash.tl.gene_influence(adata, key={key!r})"
    if slot not in adata.varm:
        raise NotFittedError(f"No influences under adata.varm[{slot!r}]. Run `{run}` first.")
    entry = require_result(adata, slot, "genes", what="influences", run=run)
    here = fit_genes(adata, entry["genes"], f"adata.uns[{slot!r}]")
    if by_time:
        genes, times = here.names, np.asarray(entry["times"])[1:]
        table = pd.DataFrame(
            {
                "gene": np.repeat(genes, len(times)),
                "time": np.tile(times, len(genes)),
                "absolute": np.asarray(entry["absolute"]).ravel(),
                "signed": np.asarray(entry["signed"]).ravel(),
            }
        )
        table = here.rows(table, "gene").reset_index(drop=True)
    else:
        table = pd.DataFrame(adata.varm[slot]).set_axis(adata.var_names).rename_axis("gene")
    return table, dict(entry.get("agreement") or {})


def score_table(adata: "AnnData", key: str) -> pd.DataFrame:
    """Return the scores of `scdash.tl.perturbation_scores` for the genes that the data still have."""
    slot = f"{key}_perturbation_scores"
    entry = require_result(
        adata, slot, "table", what="scores", run=f"scdash.tl.perturbation_scores(adata, key={key!r})"
    )
    table: pd.DataFrame = entry["table"].reset_index(drop=True)
    for name in ("gene", "lineage"):
        table[name] = table[name].astype(str)
    names = pd.unique(table["gene"])
    table = fit_genes(adata, names, f"adata.uns[{slot!r}]").rows(table, "gene").reset_index(drop=True)
    table.attrs["report"] = str(entry.get("report", ""))
    return table


def module_table(adata: "AnnData", key: str) -> pd.DataFrame:
    """Return the members of modules among the genes that the data still have."""
    slot = f"{key}_modules"
    entry = require_result(adata, slot, "members", what="modules", run=f"scdash.tl.modules(adata, key={key!r})")
    members = entry["members"]
    here = fit_genes(adata, pd.unique(members["gene"].astype(str)), f"adata.uns[{slot!r}]")
    return here.rows(members, "gene")


def pathway_table(adata: "AnnData", key: str) -> tuple[pd.DataFrame, str]:
    """Return the stored table of tested gene sets and the report."""
    run = f"scdash.tl.pathways(adata, ..., key_added={key!r})"
    entry = require_result(adata, key, "table", what="pathways", run=run)
    return entry["table"].copy(), str(entry.get("report", ""))
