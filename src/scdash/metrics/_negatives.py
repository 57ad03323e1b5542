"""Pairs that are no edges but have the degrees of edges: the fair comparison for recovered edges."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, as_generator
from scdash.metrics.edge_lists import GRN, EdgeList, align


@guarded
def degree_matched_non_edges(
    edges: GRN,
    *,
    known: GRN | None = None,
    genes: Iterable[str] | None = None,
    key: str = "dynamics",
    rng: RNG = 0,
    rounds: int = 200,
) -> pd.DataFrame:
    """Rewire edges into pairs that are no edges, every gene keeping its number of targets and regulators.

    Hubs occur among prior edges far more often than among random pairs, so anything that ranks hubs first seems to
    recover edges; against these pairs it does not. Targets are shuffled among the edges; a shuffled pair is accepted
    if it is new, joins two genes and is no edge, and the ends of the others are shuffled again.

    Parameters
    ----------
    edges
        The edges to match, in any form :func:`scdash.metrics.auprc` takes.
    known
        Further edges that must not be drawn, such as the rest of the prior.
    genes, key
        As in :func:`scdash.metrics.auprc`.
    rng
        Seed or numpy Generator.
    rounds
        Number of shuffles; where hubs leave no pair free, fewer pairs than edges are returned and the log says so.

    Returns
    -------
    DataFrame
        Table with columns ``source`` and ``target`` (names, or numbers for a bare matrix), at most one row an edge.

    See Also
    --------
    scdash.metrics.evidence_auc : Chance that a prior edge hidden from the fit outranks a pair that is no prior edge (area under the ROC curve).

    Examples
    --------
    >>> others = scdash.metrics.degree_matched_non_edges(adata)
    >>> others.columns.tolist()
    ['source', 'target']
    """
    matched, *others = align(
        edges, *([] if known is None else [known]), genes=genes, key=key, arguments=("edges", "known")
    )
    matched = matched.nonzero().without_self()
    taken = np.unique(np.concatenate([matched.key, *(other.nonzero().key for other in others)]))
    drawn, left = _rewire(matched, taken, as_generator(rng), rounds)
    if left:
        logger.info("%d of %d edges found no degree-matched pair.", left, len(matched))
    ends = {"source": drawn // matched.n, "target": drawn % matched.n}
    if matched.genes is not None:
        return pd.DataFrame({end: matched.genes.to_numpy()[number] for end, number in ends.items()})
    return pd.DataFrame(ends)


def _rewire(
    edges: EdgeList, taken: NDArray[np.int64], generator: np.random.Generator, rounds: int
) -> tuple[NDArray[np.int64], int]:
    """Shuffle targets among edges until no pair is taken; return the pairs found, sorted, and how many are left."""
    n = edges.n
    sources, targets, drawn = edges.source, edges.target, np.empty(0, np.int64)
    for _ in range(rounds):
        # the last ends often fit only each other's edges: as many accepted pairs join them in each further shuffle
        reopened = generator.permutation(len(drawn)) < len(sources)
        kept, open_again = drawn[~reopened], drawn[reopened]
        source = np.concatenate([sources, open_again // n])
        target = generator.permutation(np.concatenate([targets, open_again % n]))
        pair = source * n + target
        free = np.zeros(len(pair), bool)
        free[np.unique(pair, return_index=True)[1]] = True
        free &= (source != target) & ~np.isin(pair, taken) & ~np.isin(pair, kept)
        if np.count_nonzero(free) >= len(open_again):
            drawn, sources, targets = np.concatenate([kept, pair[free]]), source[~free], target[~free]
        if not len(sources):
            break
    return np.sort(drawn), len(edges) - len(drawn)
