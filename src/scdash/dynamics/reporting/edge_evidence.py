"""What a fit says about edges: effects, contributions, how stable they are, and their standing against the prior."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.edges.order import correlation_of_sources
from scdash._core.edges.time_course_association import TimeCourse
from scdash._data import WithinMoments
from scdash.dynamics.options import FitOptions
from scdash.dynamics.predictors import scaled_about_middle
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.state_pairs.regression_fits import hidden_evidence
from scdash.dynamics.whole_trajectories.folds import TEST
from scdash.fields import Params, VectorField, gene_wise
from scdash.networks import (
    Coregulation,
    HiddenEvidence,
    coregulation,
    ranking_score,
    sparse_relative_contribution,
    strongest_effects,
    with_products,
)
from scdash.networks.cell_scores_of_edges import CellScores, cell_scores
from scdash.networks.edge_ranking import Associated
from scdash.regression import TransitionFit, softsign


@dataclass(frozen=True)
class Evidence:
    """Edges of the main model and their standing; matrices are (target, regulator)."""

    effects: sp.csr_matrix  # relu(v) D, signed: the effect on the derivative
    edges: pd.DataFrame
    report: dict[str, Any]
    figures: dict[str, float]
    scores: CellScores | None = None  # cells: scores of edges from the cells themselves


def gather_evidence(
    problem: FitProblem,
    options: FitOptions,
    field: VectorField,
    params: Params,
    priors: Sequence[sp.csr_matrix | None],
    matched: Sequence[TransitionFit],
    found: Sequence[HiddenEvidence] = (),
) -> Evidence:
    """Rank the edges of the first model of a stack; the others were fitted with parts of the prior hidden.

    `found`: what a model that is not of the stack finds of prior edges that were hidden from it.
    """
    typical = typical_activation(scaled_about_middle(problem.series.states, matched[0].slope if matched else 1.0))
    models = [_contributions(field, params, model, typical) for model in range(len(next(iter(params.values()))))]
    (effects, contribution), contributions = models[0], [own for _, own in models]
    frequency = matched[0].frequency if matched else _frequency(contributions)
    hidden = [*found] + [
        HiddenEvidence(problem.prior - prior, own)
        for prior, own in zip(priors[1:], contributions[1:], strict=True)
        if prior is not None and problem.prior is not None
    ]
    if matched and not hidden:
        hidden = hidden_evidence(problem, options, matched[0])
    stability = matched[0].stability if matched and matched[0].settings.half_samples else None
    scores = None if problem.halves is None else cell_scores(problem.halves, problem.regulators)
    associated, weight = (None, 0.0) if problem.halves is not None else _over_states(problem)
    if scores is not None and problem.halves is not None and options.start == "regression" and gene_wise(field):
        # Cells: how often an edge is selected along the whole path of penalties ranks edges better than its effect does.
        frequency = stability = scores.frequency
        associated, weight = _over_cells(problem.halves.within), scores.association_weight
    edges, report = ranking_score(
        contribution,
        problem.prior,
        weight=effects,
        frequency=frequency,
        stability=stability,
        hidden=hidden,
        coregulated=_coregulated(problem, options),
        associated=associated,
        association_weight=weight,
        constant=matched[0].constant if matched else None,
        genes=problem.series.genes,
    )
    without = int((np.diff(effects.indptr) == 0).sum())
    listed = float(contribution.sum() / max(1, (np.diff(contribution.indptr) > 0).sum()))
    return Evidence(
        scores=scores,
        effects=effects,
        edges=edges,
        report=report,
        figures={
            "edges": float(effects.nnz),
            "network_density": effects.nnz / problem.n_genes**2,
            "out_degree": effects.nnz / max(1, len(np.unique(effects.indices))),
            "effects_listed": listed,
            "genes": float(problem.n_genes),
            "genes_without_inputs": float(without),
            "evidence_auc": float(report.get("evidence_auc", np.nan)),
        },
    )


def _coregulated(problem: FitProblem, options: FitOptions) -> Coregulation | None:
    """Return how far genes follow the other targets of a regulator of the prior, over training states."""
    if problem.prior is None:
        return None
    series, seen = problem.series, problem.series.split == 0
    return coregulation(series.states[seen], series.trajectory[seen], problem.prior, seed=options.seed)


def _over_states(problem: FitProblem) -> tuple[Associated, float]:
    """Return the association of pairs (target, source) over all states that are not for test, and its weight."""
    series = problem.series
    states = TimeCourse.of(series.states, series.times, series.trajectory, series.split != TEST)

    def associated(row: NDArray[Any], col: NDArray[Any]) -> NDArray[np.float64]:
        return states.association(np.asarray(col, dtype=np.intp), np.asarray(row, dtype=np.intp))

    return associated, states.weight


def _over_cells(moments: WithinMoments) -> Associated:
    """Return the association of pairs (target, source) over all cells."""
    return lambda row, col: correlation_of_sources(moments.correlation, moments.sources, col, row)


def typical_activation(states: NDArray[np.floating[Any]]) -> float:
    """Return the root mean square of PHOENIX's activation over all states and genes."""
    return float(np.sqrt(np.mean(softsign(states) ** 2)))


def _contributions(
    field: VectorField, params: Params, model: int, activation: float
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return relu(v) D and |D~| of one model."""
    one = {name: value[model : model + 1] for name, value in params.items()}
    effect, totals = strongest_effects(field, one, by_gene=True)
    if gene_wise(field):
        effect = with_products(effect, field, one, activation)
        totals = np.asarray(abs(effect).sum(axis=1)).ravel()
    rates = field.rates(one)
    v = None if rates is None else rates[0].detach().cpu().numpy()
    contribution = abs(sparse_relative_contribution(effect, v, totals))
    scaled = effect if v is None else sp.diags(v) @ effect
    found = sp.csr_matrix(scaled)
    found.eliminate_zeros()
    return found, sp.csr_matrix(contribution)


def _frequency(contributions: Sequence[sp.csr_matrix]) -> sp.csr_matrix | None:
    """Return the fraction of models that have an edge; None for a single model."""
    if len(contributions) == 1:
        return None
    total = sum((own != 0).astype(np.float64) for own in contributions)
    return sp.csr_matrix(total / len(contributions))
