"""Tables of a fit of a screen: its edges, what it has to be compared with, and the finding in words."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.edge_order import rank_edges
from scdash.matching._equilibrium_fit import EquilibriumFit
from scdash.matching._held_out import HeldOutScores, mean_of_others, score_changes
from scdash.matching._regimes import Floats, RegimeStatistics
from scdash.tl._screen_inputs import ScreenInputs


def edge_table(weights: Floats, score: Floats, frequency: Floats, inputs: ScreenInputs) -> pd.DataFrame:
    """Return the edges (regulator, target) with a weight or a score, strongest first; `score` is |path score|."""
    prior = np.zeros(weights.shape, bool) if inputs.prior is None else inputs.prior.toarray() != 0
    source, target = np.nonzero((weights != 0) | (score != 0) | prior)
    total = np.abs(weights).sum(axis=0)
    names = np.asarray(inputs.values.genes, dtype=str)
    table = pd.DataFrame(
        {
            "source": names[source],
            "target": names[target],
            "weight": weights[source, target],
            "contribution": np.abs(weights[source, target]) / np.maximum(total[target], 1e-300),
            "in_prior": prior[source, target],
            "selection_frequency": frequency[source, target],
            "score": np.abs(score[source, target]),
            "sign": np.sign(score[source, target]),
        }
    )
    return rank_edges(table[table["source"] != table["target"]]).drop(columns="rank")


def add_effects(table: pd.DataFrame, inputs: ScreenInputs, sensitivity: Floats, total: Floats) -> pd.DataFrame:
    """Return the edges with columns `sensitivity` and `total_effect`, both (regulator, target)."""
    genes = pd.Index([str(g) for g in inputs.values.genes])
    source, target = genes.get_indexer(table["source"]), genes.get_indexer(table["target"])
    return table.assign(sensitivity=sensitivity[source, target], total_effect=total[source, target])


def controls(stats: RegimeStatistics, fit: EquilibriumFit) -> pd.DataFrame:
    """Return held-out R2 of the equations relative to the mean of the other perturbations, and the references'."""
    sd = np.where(stats.within_sd > 0, stats.within_sd, np.inf)
    reference = none = 0.0
    for fold in range(int(stats.fold.max()) + 1):
        out = stats.fold == fold
        mean = mean_of_others(stats, ~out)
        reference += float((((mean - stats.y[out]) / sd * stats.free[out]) ** 2).sum())
        none += float(((stats.y[out] / sd * stats.free[out]) ** 2).sum())
    best = float(fit.cv["held_out_r2"].max()) if len(fit.cv) else np.nan
    return pd.DataFrame(
        {
            "predictor": ["equilibrium matching", "mean of the other perturbations", "no change"],
            "held_out_r2": [best, 0.0, 1 - none / reference if reference > 0 else np.nan],
        }
    )


def report_text(held_out: float, fit: EquilibriumFit) -> str:
    """Say what held-out regimes say of the network, and what was chosen."""
    s = fit.settings
    if np.isnan(held_out):
        return "Too few regimes to hold any out: default settings, nothing validated. Read edges as hypotheses."
    verdict = (
        "The network predicts held-out perturbations better than the mean of the other perturbations."
        if round(held_out, 3) > 0  # as it is printed
        else "The network predicts held-out perturbations no better than the mean of the others: edges are hypotheses."
    )
    chosen = [
        f"weight of covariation within regimes {s.trust:g}",
        "activating edges only" if s.nonnegative else "edges of both signs",
        *(["cheaper edges from regulators that have many"] if s.hubs else []),
        "lasso" if s.mcp is None else f"minimax concave penalty ({s.mcp:g})",
        f"lambda {fit.lam:.3g}",
    ]
    return (
        f"{verdict} R2 over it {held_out:.3f} (genes that are no targets; their regulators observed). Chosen: "
        f"{', '.join(chosen)}."
    )


def held_out_table(
    inputs: ScreenInputs, stats: RegimeStatistics, predicted: Floats, observed: Floats, held: NDArray[np.int64]
) -> tuple[pd.DataFrame, HeldOutScores]:
    """Score predicted changes (held, genes) of the regimes `held` of the whole screen, beside the trivial references."""
    whole = inputs.whole
    used = np.ones(stats.screen.n_regimes, bool)
    mean = np.broadcast_to(mean_of_others(stats, used), observed.shape)
    free = ~whole.targets[held]
    rows = []
    guesses = (("fit", predicted), ("mean of the other perturbations", mean), ("no change", np.zeros(mean.shape)))
    for name, guess in guesses:
        for i, r in enumerate(held):
            one = slice(i, i + 1)
            score = score_changes(guess[one], observed[one], mean[one], free[one], stats.within_sd)
            rows.append((whole.names[r], name, score.pearson, score.wr2, score.rmse))
    table = pd.DataFrame(rows, columns=["regime", "predictor", "pearson_of_changes", "wr2", "rmse_sd"])
    return table, score_changes(predicted, observed, mean, free, stats.within_sd)


def held_out_changes(inputs: ScreenInputs, stats: RegimeStatistics, held: NDArray[np.int64]) -> Floats:
    """Return observed mean changes from control (held, genes) of regimes that were not fitted."""
    whole, cells = inputs.whole, inputs.cells
    means = [cells[np.flatnonzero(whole.cells == r)].mean(axis=0) for r in held]
    observed: Floats = np.stack(means) - stats.centre
    return observed


def held_regimes(inputs: ScreenInputs) -> NDArray[np.int64]:
    """Return the numbers, in the whole screen, of the regimes that were not fitted."""
    fitted = set(inputs.screen.names)
    return np.array([r for r, name in enumerate(inputs.whole.names) if name not in fitted], dtype=np.int64)
