"""The order of edges: by score, then by what else the data say; edges that nothing tells apart share a rank."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.edges.time_course_association import PAIRS_AT_ONCE, TimeCourse

# After the score, each of them from large to small absolute values. All are data; none is a name, the order of the
# genes, or the prior.
CRITERIA = ("stability", "selection_frequency", "contribution", "weight", "total_effect", "association")
BY_DATA, BY_BOTH, BY_PRIOR = "data", "prior and data", "prior"  # what a score says, see `ranked_by`
MAX_PAIRS = 5_000_000  # a table of more is no table to read, and takes gigabytes


def rank_edges(edges: pd.DataFrame) -> pd.DataFrame:
    """Return the edges from the strongest evidence to the weakest, with `rank`; edges without a difference share one.

    The order among edges of the same rank is random, the same at every call, and independent of the order of genes.
    """
    if edges.empty:
        return edges.assign(rank=np.zeros(0, dtype=np.int64)).reset_index(drop=True)
    used = [name for name in CRITERIA if name in edges]
    values = [np.asarray(edges["score"], dtype=np.float64)]
    values += [np.abs(np.asarray(edges[name], dtype=np.float64)) for name in used]
    keys = np.column_stack([np.nan_to_num(value, nan=-1.0) for value in values])
    named = np.lexsort((edges["target"].astype(str).to_numpy(), edges["source"].astype(str).to_numpy()))
    chance = np.empty(len(edges), dtype=np.int64)
    chance[named] = np.random.default_rng(0).permutation(len(edges))
    order = np.lexsort((chance, *(-keys[:, k] for k in range(keys.shape[1] - 1, -1, -1))))
    keys = keys[order]
    new = np.append(True, (keys[1:] != keys[:-1]).any(axis=1))
    first = np.flatnonzero(new)[np.cumsum(new) - 1]
    return edges.iloc[order].assign(rank=first + 1).reset_index(drop=True)


def ranked_by(entry: Mapping[str, Any]) -> str:
    """Return what the scores of a stored fit say.

    "data": there was no prior. "prior and data": edges of the prior come first, and the data order them. "prior": edges of
    the prior come first, and the score says nothing else, because edges of the prior that were hidden from a fit were not
    found again; equal scores are ordered by the data all the same. Where co-regulation found them again, it is "prior and data".
    """
    prior = entry.get("prior") or {}
    if not int(prior.get("used", 0)) or "screen" in entry:
        return BY_DATA
    ordered = bool(prior.get("by_coregulation", False)) or not bool(prior.get("fell_back", False))
    return BY_BOTH if ordered else BY_PRIOR


def n_tied(ranked: pd.DataFrame) -> int:
    """Return how many edges share their rank with another one."""
    return int(ranked["rank"].duplicated(keep=False).sum())


def association(edges: pd.DataFrame, entry: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return for every edge how far the data of the fit connect the two genes, without any model, in [0, 1].

    Time courses: see `TimeCourse.association`. Cells: absolute correlation of both genes over all cells that the fit has learned
    from, where the fit has stored it, and otherwise as for time courses. Screens: absolute correlation of both changes over the perturbations of
    other genes than the target. NaN where there is nothing to correlate.
    """
    genes = pd.Index([str(gene) for gene in entry["genes"]])
    source, target = (genes.get_indexer(pd.Index(edges[name].astype(str))) for name in ("source", "target"))
    screen = entry.get("screen")
    if screen is not None:
        change = np.asarray(screen["change"], dtype=np.float64)
        aimed = sp.csr_matrix(screen["targets"]).toarray() != 0
        return np.abs(_correlations(change, change, ~aimed, source, target))
    if (stored := entry.get("correlation")) is not None:
        sources = genes.get_indexer(pd.Index([str(gene) for gene in stored["sources"]]))
        return correlation_of_sources(np.asarray(stored["values"]), sources, source, target)
    if "series" not in entry:
        return np.full(len(edges), np.nan)
    series = entry["series"]
    used = np.array([str(label) != "test" for label in series["split"]])
    return TimeCourse.of(series["states"], series["time"], series["trajectory"], used).association(source, target)


def correlation_of_sources(
    values: NDArray[np.floating[Any]], sources: NDArray[np.int64], source: NDArray[np.int64], target: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the absolute correlation of pairs of genes from one of some `sources` with all genes, (sources, genes).

    NaN where the first of a pair is none of the sources.
    """
    place = np.full(values.shape[1], -1)
    place[sources] = np.arange(len(sources))
    found = np.abs(values[place[source], target].astype(np.float64))
    return np.where(place[source] < 0, np.nan, found)


def _correlations(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    used: NDArray[np.bool_],
    source: NDArray[np.int64],
    target: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return corr(x[:, source], y[:, target]) over the rows used for the target."""
    found = np.full(len(source), np.nan)
    if len(x) < 3:
        return found
    count = np.maximum(used.sum(axis=0), 1)
    shift = np.where(used, y, 0).sum(axis=0) / count
    centred = np.where(used, y - shift, 0.0)
    own = np.sqrt((centred**2).sum(axis=0))
    at_once = max(PAIRS_AT_ONCE // len(x), 1)
    for start in range(0, len(source), at_once):
        block = slice(start, start + at_once)
        s, t = source[block], target[block]
        chosen = used[:, t]
        mine = np.where(chosen, x[:, s] - np.where(chosen, x[:, s], 0).sum(axis=0) / count[t], 0.0)
        size = np.sqrt((mine**2).sum(axis=0)) * own[t]
        product = (mine * centred[:, t]).sum(axis=0)
        found[block] = np.divide(product, size, out=np.full(len(s), np.nan), where=size > 1e-12)
    return found
