"""Tables of what a fitted model says about genes and pathways."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import csr_array

from scdash._core.edges.order import rank_edges
from scdash._core.errors import suggest, unused
from scdash._core.keys import DynamicsKeys, genes_of, require_fit
from scdash._core.process_state import guarded
from scdash._core.tables import influence_table, network_edges, pathway_table, score_table
from scdash._data import all_genes, listed_names
from scdash.networks.statistics import reachable


@guarded
def influence(adata: AnnData, *, key: str = "dynamics", by_time: bool = False) -> pd.DataFrame:
    """Return the influence of every gene, strongest first.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.gene_influence` has written to.
    key
        The `key_added` of the fit.
    by_time
        Return a row per gene and time instead.

    Returns
    -------
    DataFrame
        Table with `gene`, `absolute`, `signed`, `standard_error`, `spread`, `shift`, `rank` and, where there is a network,
        `out_degree` and `in_degree`; or `gene`, `time`, `absolute`, `signed`. `table.attrs["agreement"]` holds how far the
        models of an ensemble agree.

    Raises
    ------
    NotFittedError
        If no influences are stored.

    See Also
    --------
    scdash.tl.gene_influence : Measure how far a change of one gene moves the predicted trajectories of all others.
    scdash.pl.influence : Draw the most influential genes, with the spread over the models of an ensemble, or their influence over time.

    Examples
    --------
    >>> scdash.get.influence(adata)["gene"].iloc[0] in adata.var_names
    True
    """
    table, agreement = influence_table(adata, key, by_time=by_time)
    if not by_time:
        network = DynamicsKeys(key).grn
        if network in adata.varp:
            pattern = adata.varp[network] != 0
            table = table.assign(
                out_degree=np.asarray(pattern.sum(1)).ravel().astype(int),
                in_degree=np.asarray(pattern.sum(0)).ravel().astype(int),
            )
        table = table.dropna(subset=["absolute"]).reset_index()
        table = table.sort_values("absolute", ascending=False, kind="stable").reset_index(drop=True)
    table["gene"] = table["gene"].astype(str)
    table.attrs["agreement"] = agreement
    return table


@guarded
def pathways(
    adata: AnnData, *, key: str = "pathways", significant: bool = False, alpha: float = 0.05, fit: str | None = None
) -> pd.DataFrame:
    """Return the table of tested gene sets, by fit, smallest p first.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.pathways` has written to.
    key
        The `key_added` of that call.
    significant
        Keep sets at most `alpha` after Bonferroni's correction.
    alpha
        See `significant`.
    fit
        One fit or control; None: all.

    Returns
    -------
    DataFrame
        The table described in `scdash.tl.pathways`; `table.attrs["report"]` holds the finding in words.

    Raises
    ------
    NotFittedError
        If no table is stored.

    See Also
    --------
    scdash.tl.pathways : Test which gene sets gather influential genes, several fits and controls side by side.
    scdash.pl.pathways : Draw how far gene sets stand out, z by fit and control, with stars where the corrected p is small.

    Examples
    --------
    >>> sets = scdash.get.pathways(adata, significant=True, alpha=0.1)
    """
    table, report = pathway_table(adata, key)
    for name in ("fit", "pathway", "leading_genes"):
        table[name] = table[name].astype(str)
    for name in ("control", "in_control"):
        table[name] = table[name].astype(bool)
    if fit is not None:
        if fit not in set(table["fit"]):
            raise KeyError(f"fit: {fit!r} is not in the table.{suggest(fit, pd.unique(table['fit']))}")
        table = table[table["fit"] == fit]
    if not significant and alpha != 0.05:
        raise unused("alpha", "all sets are kept unless significant=True")
    if significant:
        table = table[table["bonferroni"] <= alpha]
    table = table.reset_index(drop=True)
    table.attrs["report"] = report
    return table


@guarded
def perturbable_genes(adata: AnnData, *, key: str = "dynamics") -> pd.DataFrame:
    """Return the genes that `scdash.tl.perturb` can change, those with most targets first.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to.
    key
        The `key_added` of the fit.

    Returns
    -------
    DataFrame
        Table with `gene`, `n_targets` (edges out of the gene in the fitted network; 0: a knockout changes nothing but the
        gene itself), `n_reached` (genes downstream, over any number of steps), `low`, `high` (range in the fitted states).

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.

    See Also
    --------
    scdash.tl.perturb : Predict trajectories with some genes held at a level, beside the unperturbed ones.
    scdash.get.subnetwork : Return the part of the fitted network below (or above) some genes, e.g. a transcription factor and its targets.

    Examples
    --------
    >>> scdash.get.perturbable_genes(adata).columns.tolist()
    ['gene', 'n_targets', 'n_reached', 'low', 'high']
    """
    entry: Any = require_fit(adata, key)
    genes = np.asarray(entry["genes"]).astype(str)
    edges = entry["edges"]
    used = edges[np.asarray(edges["weight"]) != 0]
    used = used[used["source"].astype(str).to_numpy() != used["target"].astype(str).to_numpy()]
    place = pd.Series(np.arange(len(genes)), index=genes)
    source = place[used["source"].astype(str)].to_numpy()
    target = place[used["target"].astype(str)].to_numpy()
    states = np.asarray(entry["series"]["states"])
    table = pd.DataFrame(
        {
            "gene": genes,
            "n_targets": np.bincount(source, minlength=len(genes)),
            "n_reached": _descendants(source, target, len(genes)),
            "low": states.min(0),
            "high": states.max(0),
        }
    )
    table = genes_of(adata, entry, key).rows(table, "gene")
    return table.sort_values(["n_targets", "n_reached", "gene"], ascending=[False, False, True]).reset_index(drop=True)


def _descendants(source: Any, target: Any, n: int) -> Any:
    """Return how many other genes each gene reaches."""
    network = csr_array((np.ones(len(source)), (source, target)), shape=(n, n))
    regulators = np.unique(source)
    found = np.zeros(n, dtype=int)
    for gene in regulators:
        found[gene] = int((reachable(network, np.array([gene]), depth=n) > 0).sum())
    return found


@guarded
def subnetwork(
    adata: AnnData,
    genes: str | Iterable[str],
    *,
    key: str = "dynamics",
    depth: int = 1,
    upstream: bool = False,
    min_contribution: float = 0.0,
) -> pd.DataFrame:
    """Return the part of the fitted network below (or above) some genes, e.g. a transcription factor and its targets.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to.
    genes
        Where to start.
    key
        The `key_added` of the fit.
    depth
        Steps along the edges.
    upstream
        Follow edges backwards, to the regulators.
    min_contribution
        Smallest fraction of its target's summed absolute effects that an edge must have.

    Returns
    -------
    DataFrame
        Table of edges as from `scdash.get.grn`, with `step`, the number of steps from `genes` (1: the edge touches them).

    Raises
    ------
    KeyError
        If genes are not in the model; all of them are named, with near matches.

    See Also
    --------
    scdash.get.grn : Return the network as a table of edges, strongest evidence first.
    scdash.pl.network : Draw the strongest edges of the network.

    Examples
    --------
    >>> gene = scdash.get.perturbable_genes(adata)["gene"].iloc[0]
    >>> edges = scdash.get.subnetwork(adata, gene, depth=2)
    >>> sorted(edges["step"].unique()) in ([1], [1, 2])
    True
    """
    entry: Any = require_fit(adata, key)
    names = np.asarray(entry["genes"]).astype(str)
    place = pd.Series(np.arange(len(names)), index=names)
    wanted = all_genes(listed_names(genes), names, "genes")
    edges: pd.DataFrame = rank_edges(network_edges(adata, key))
    edges = edges[(edges["weight"] != 0) & (edges["contribution"].abs() >= min_contribution)]
    source, target = place[edges["source"]].to_numpy(), place[edges["target"]].to_numpy()
    network = csr_array((np.ones(len(edges)), (source, target)), shape=(len(names), len(names)))
    distance = reachable(network, wanted, depth=depth, upstream=upstream)
    near = distance[target if upstream else source]
    edges = edges.assign(step=near + 1).loc[(near >= 0) & (near < depth)]
    order = ["step", "contribution"]
    return edges.sort_values(order, ascending=[True, False], kind="stable").reset_index(drop=True)


@guarded
def perturbation_scores(adata: AnnData, *, key: str = "dynamics") -> pd.DataFrame:
    """Return how far holding each gene moves the end of a lineage, the largest effects first, genes without a target last.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.perturbation_scores` has written to.
    key
        The `key_added` of the fit.

    Returns
    -------
    DataFrame
        The table described there, with the gene's own expression beside its score; `table.attrs["report"]` says what the model's error and spread allow to conclude.

    Raises
    ------
    NotFittedError
        If no scores are stored.

    See Also
    --------
    scdash.tl.perturbation_scores : Score every regulator by how far its knockout (or overexpression) moves the end of a lineage.
    scdash.pl.perturbation_scores : Draw the regulators whose knockout (or overexpression) moves the end of a lineage most, beside their expression.

    Examples
    --------
    >>> scores = scdash.get.perturbation_scores(adata)
    >>> bool(scores["score"].dropna().is_monotonic_decreasing)
    True
    """
    return score_table(adata, key)
