"""Edges ranked by prior and data together, with an honest estimate of how much the data say.

Not from a paper: the fitted network alone does not rank edges better than a good prior, but within the prior, and below
it, the data order edges well. How much that order can be trusted is measured on prior edges that were hidden from a fit.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.decisions import clearly_above
from scdash._core.edge_order import rank_edges

CHANCE = 0.5


class HiddenEvidence(NamedTuple):
    """Evidence that a fit gave to prior edges it was not shown; matrices are (target, regulator)."""

    hidden: sp.csr_matrix  # the edges hidden from it
    evidence: sp.csr_matrix  # non-negative


def evidence_auc(
    prior: sp.csr_matrix, hidden: Sequence[HiddenEvidence], *, seed: int = 0, draws: int = 20_000
) -> tuple[float, float]:
    """Return how often a hidden prior edge has more evidence than a pair outside the prior, and its standard error.

    The area under the ROC curve of the hidden edges of all fits together; ties count half. The standard error is
    Hanley and McNeil's (1982). Pairs outside the prior are drawn with the targets and regulators of hidden edges
    (degree-matched): against random pairs, knowing the hubs of the prior would already look like evidence.
    """
    rng = np.random.default_rng(seed)
    inside, outside = [], []
    for fit in hidden:
        edges = fit.hidden.astype(bool).tocsr()
        edges.eliminate_zeros()
        edges = edges.tocoo()
        if not len(edges.row):
            continue
        inside.append(_at(fit.evidence, edges.row, edges.col))
        rows = rng.choice(edges.row, draws // len(hidden))
        columns = rng.choice(edges.col, len(rows))
        free = (_at(prior, rows, columns) == 0) & (rows != columns)
        outside.append(_at(fit.evidence, rows[free], columns[free]))
    if not inside or not sum(map(len, outside)):
        return float("nan"), float("nan")
    a, b = np.concatenate(inside), np.sort(np.concatenate(outside))
    auc = float((np.searchsorted(b, a, "left") + np.searchsorted(b, a, "right")).mean() / 2 / len(b))
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (len(a) - 1) * (q1 - auc**2) + (len(b) - 1) * (q2 - auc**2)
    return auc, float(np.sqrt(max(variance, 0) / (len(a) * len(b))))


def ranking_score(
    contribution: sp.csr_matrix,
    prior: sp.csr_matrix | None,
    *,
    weight: sp.csr_matrix,
    frequency: sp.csr_matrix | None,
    stability: sp.csr_matrix | None = None,
    hidden: Sequence[HiddenEvidence] = (),
    constant: NDArray[np.bool_] | None = None,
    genes: Any,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rank all edges that the model, the prior or the data name.

    Edges of the model come first. Among these, and among the others, edges of the prior come first, ordered by the
    evidence of the data, then the rest, ordered likewise. Prior edges into genes that do not change come last: nothing
    acts on such a gene. If hidden prior edges were found again no
    better than chance (less than two standard errors above 1/2), the data do not reorder the prior.

    Parameters
    ----------
    contribution
        Share of each edge among its target's effects, in [0, 1], (target, regulator) like all matrices here.
    prior
        Signed edges; None without a prior.
    weight
        Signed effects of the fitted network.
    frequency
        Share of half-samples or replicates that select an edge; None if there were none.
    stability
        Mean contribution over half-samples, which then is the evidence of the data. None: selection frequency, or the
        contribution where there is none.
    hidden
        What fits found that were not shown some of the prior's edges.
    constant
        Genes that do not change, (genes,).
    genes
        Names, (genes,).

    Returns
    -------
    edges
        Table `source`, `target`, `weight`, `contribution`, `in_prior`, `selection_frequency`, `stability`, `score`,
        sorted by score.
    report
        `used`, `kept`, `doubted`, `added` (numbers of edges), `evidence_auc`, `evidence_se`, `hidden` (edges that
        were hidden from fits), `fell_back`.
    """
    known = sp.csr_matrix(contribution.shape) if prior is None else prior
    frequent = sp.csr_matrix(contribution.shape) if frequency is None else frequency
    steady = sp.csr_matrix(contribution.shape) if stability is None else stability
    union = (abs(contribution) + abs(known) + frequent + steady + abs(weight)).tocoo()
    row, col = union.row, union.col
    share, inside = _at(contribution, row, col), _at(known, row, col) != 0
    often = np.full(len(row), np.nan) if frequency is None else _at(frequency, row, col)
    if stability is not None:
        evidence = _at(stability, row, col)
    else:  # selection frequency ranks edges better than shares do; shares order edges of equal frequency
        evidence = share if frequency is None else (often + 1e-3 * share) / (1 + 1e-3)
    auc, error = (np.nan, np.nan) if prior is None else evidence_auc(prior, hidden)
    fell_back = bool(np.isfinite(auc)) and not clearly_above(auc, error, CHANCE)
    score = evidence if prior is None else (inside + (0 if fell_back else 1) * evidence) / 2
    if constant is not None and not fell_back:
        score = np.where(inside & constant[row], 0.0, score)
    effect = _at(weight, row, col)
    score = ((effect != 0) + score) / 2
    names = pd.Index(list(np.asarray(genes, dtype=object)))
    edges = pd.DataFrame(
        {
            "source": pd.Categorical.from_codes(col, categories=names),
            "target": pd.Categorical.from_codes(row, categories=names),
            "weight": effect,
            "contribution": share,
            "in_prior": inside,
            "selection_frequency": often,
            "stability": np.full(len(row), np.nan) if stability is None else evidence,
            "score": score,
        }
    )
    edges = rank_edges(edges).drop(columns="rank")
    used = effect != 0
    report = {
        "used": int(inside.sum()),
        "kept": int((inside & used).sum()),
        "doubted": int((inside & ~used).sum()),
        "added": int((used & ~inside).sum()) if prior is not None else 0,
        "evidence_auc": float(auc),
        "evidence_se": float(error),
        "hidden": int(sum(fit.hidden.astype(bool).nnz for fit in hidden)),
        "fell_back": fell_back,
    }
    return edges, report


def _at(matrix: sp.csr_matrix, row: NDArray[Any], col: NDArray[Any]) -> NDArray[np.float64]:
    """Return entries of a sparse matrix, zeros where nothing is stored."""
    if not len(row):  # SciPy refuses empty index arrays
        return np.zeros(0)
    return np.asarray(sp.csr_matrix(matrix)[row, col], dtype=np.float64).ravel()
