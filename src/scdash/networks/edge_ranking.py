"""Edges ranked by prior and data together, with an honest estimate of how much the data say.

Not from a paper: the fitted network alone does not rank edges better than a good prior, but within the prior, and below
it, the data order edges well. How reliable that order is, is measured on prior edges that were hidden from a fit.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.decisions import clearly_above
from scdash._core.edges.order import rank_edges
from scdash.networks.coregulation_scores import CHANCE, Coregulation
from scdash.networks.hidden_edges import HiddenEvidence, entries_at, evidence_auc

Associated = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]  # of places of targets and of sources


def ranking_score(
    contribution: sp.csr_matrix,
    prior: sp.csr_matrix | None,  # signed edges; None without a prior
    *,
    weight: sp.csr_matrix,  # signed effects of the fitted network
    frequency: sp.csr_matrix
    | None,  # fraction of half-samples or replicates that select an edge; None if there were none
    stability: sp.csr_matrix | None = None,
    hidden: Sequence[HiddenEvidence] = (),  # what fits found that were not shown some of the prior's edges
    coregulated: Coregulation | None = None,
    associated: Associated | None = None,
    association_weight: float = 0.5,  # weight of the association in that mean
    constant: NDArray[np.bool_] | None = None,  # genes that do not change, (genes,)
    genes: Any,  # names, (genes,)
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rank all edges that the model, the prior or the data name.

    Edges of the model come first. Among these, and among the others, edges of the prior come first, ordered by the
    evidence of the data, then the rest, ordered likewise. Prior edges into genes that do not change come last: nothing
    acts on such a gene. If hidden prior edges were found again no
    better than chance (less than two standard errors above 1/2), the fit does not reorder the prior. Then co-regulation
    does, if it finds hidden edges again better than chance: edges of the prior come first, then the other pairs, both ordered
    by how far a gene follows the other targets of a regulator, whether or not the model has the edge.

    `contribution`: fraction of each edge among its target's effects, in [0, 1], (target, regulator) like all matrices
    here. `stability`: mean contribution over half-samples, which then is the evidence of the data. None: selection
    frequency, or the contribution where there is none. `coregulated`: how far genes follow the other targets of a
    regulator of the prior; None where that was not measured. `associated`: how far the data connect pairs of genes
    without any model, in [0, 1], by places of targets and of sources. Without a prior the evidence is a mean of both:
    a regression selects one of several genes that follow the same trajectory, and says nothing of the others. The
    score is that evidence, whether or not the model has the edge.

    Returns
    -------
    edges
        Table `source`, `target`, `weight`, `contribution`, `in_prior`, `selection_frequency`, `stability`,
        `coregulation`, `score`, sorted by score.
    report
        `used`, `kept`, `not_supported`, `added` (numbers of edges), `evidence_auc`, `evidence_se`, `hidden` (edges that
        were hidden from fits), `fell_back`, `coregulation_auc`, `coregulation_se`, `by_coregulation` (whether it ordered them),
        `association_weight` (0: it takes no part).
    """
    row, col = _named_pairs(contribution, prior, frequency, stability, weight)
    fraction = entries_at(contribution, row, col)
    inside = np.zeros(len(row), dtype=bool) if prior is None else entries_at(prior, row, col) != 0
    often, steady = (_known_entries(one, row, col) for one in (frequency, stability))
    evidence = steady if stability is not None else fraction if frequency is None else _by_frequency(often, fraction)
    associated = associated if prior is None else None
    if associated is not None:
        evidence = (1 - association_weight) * evidence + association_weight * np.nan_to_num(associated(row, col))
    auc, error = (np.nan, np.nan) if prior is None else evidence_auc(prior, hidden)
    fell_back = bool(np.isfinite(auc)) and not clearly_above(auc, error, CHANCE)
    follows = np.full(len(row), np.nan) if coregulated is None else coregulated.at(row, col)
    by_coregulation = fell_back and coregulated is not None and coregulated.clear
    evidence = follows if by_coregulation else evidence
    ordered = by_coregulation or not fell_back
    score = evidence if prior is None else (inside + (1 if ordered else 0) * evidence) / 2
    if constant is not None and ordered:
        score = np.where(inside & constant[row], 0.0, score)
    effect = entries_at(weight, row, col)
    if not by_coregulation and associated is None:
        score = ((effect != 0) + score) / 2
    names = pd.Index(list(np.asarray(genes, dtype=object)))
    edges = pd.DataFrame(
        {
            "source": pd.Categorical.from_codes(col, categories=names),
            "target": pd.Categorical.from_codes(row, categories=names),
            "weight": effect,
            "contribution": fraction,
            "in_prior": inside,
            "selection_frequency": often,
            "stability": steady,
            "coregulation": follows,
            "score": score,
        }
    )
    report = _counts(inside, effect != 0, with_prior=prior is not None) | {
        "evidence_auc": float(auc),
        "evidence_se": float(error),
        "hidden": int(sum(fit.hidden.astype(bool).nnz for fit in hidden)),
        "fell_back": fell_back,
        **_measured(coregulated),
        "by_coregulation": by_coregulation,
        "association_weight": association_weight if associated is not None else 0.0,
    }
    return rank_edges(edges).drop(columns="rank"), report


def _named_pairs(
    contribution: sp.csr_matrix, *others: sp.csr_matrix | None
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the pairs (target, regulator) that any of the matrices has."""
    none = sp.csr_matrix(contribution.shape)
    union = abs(contribution)
    for matrix in others:
        union = union + abs(none if matrix is None else matrix)
    union = union.tocoo()
    return union.row, union.col


def _measured(coregulated: Coregulation | None) -> dict[str, float]:
    """Return how well co-regulation finds hidden edges again; NaN where that was not measured."""
    auc, error = (float("nan"), float("nan")) if coregulated is None else (coregulated.auc, coregulated.error)
    return {"coregulation_auc": auc, "coregulation_se": error}


def _counts(inside: NDArray[np.bool_], used: NDArray[np.bool_], *, with_prior: bool) -> dict[str, int]:
    """Return how many edges of the prior there are, how many the model has, has not, and has besides."""
    return {
        "used": int(inside.sum()),
        "kept": int((inside & used).sum()),
        "not_supported": int((inside & ~used).sum()),
        "added": int((used & ~inside).sum()) if with_prior else 0,
    }


def _known_entries(matrix: sp.csr_matrix | None, row: NDArray[Any], col: NDArray[Any]) -> NDArray[Any]:
    """Return entries of a matrix, NaN where there is none."""
    return np.full(len(row), np.nan) if matrix is None else entries_at(matrix, row, col)


def _by_frequency(frequency: NDArray[np.float64], contribution: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return selection frequencies, which rank edges better than contributions do; these order edges of equal frequency."""
    return np.asarray((frequency + 1e-3 * contribution) / (1 + 1e-3))
