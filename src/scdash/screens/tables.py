"""Tables of a fit of a screen: its edges, what it has to be compared with, and the finding in words."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.edge_order import rank_edges
from scdash.screens.equilibrium_fit import EquilibriumFit, RegimeErrors
from scdash.screens.held_out import HeldOutScores, mean_of_others, score_changes
from scdash.screens.inputs import ScreenInputs
from scdash.screens.statistics import Floats, RegimeStatistics


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


def controls(errors: RegimeErrors) -> pd.DataFrame:
    """Return held-out R2 of the equations relative to the mean of the other perturbations, and the references'."""
    others = float(errors.others.sum())
    none = 1 - float(errors.none.sum()) / others if others > 0 else np.nan
    return pd.DataFrame(
        {
            "predictor": ["equilibrium matching", "mean of the other perturbations", "no change"],
            "held_out_r2": [errors.r2, 0.0, none],
        }
    )


def report_text(errors: RegimeErrors, fit: EquilibriumFit) -> str:
    """Say what held-out regimes say of the network, what was chosen, and what was not tested."""
    s, edges = fit.settings, int((fit.model.weights != 0).sum())
    chosen = [
        f"weight of covariation within regimes {s.trust:g}",
        "activating edges only" if s.nonnegative else "edges of both signs",
        *(["cheaper edges from regulators that have many"] if s.hubs else []),
        "lasso" if s.mcp is None else f"minimax concave penalty ({s.mcp:g})",
        f"lambda {fit.lam:.3g}",
    ]
    if not len(errors.network):
        return (
            "Not tested: whether the network predicts perturbations that it has not seen, because there are too few regimes "
            f"to hold any out. The settings are defaults: {', '.join(chosen)}. No single edge was tested either."
        )
    return (
        f"{_prediction_sentence(errors, edges)} Settings, chosen by the same held-out regimes, so that errors are "
        f"optimistic: {', '.join(chosen)}. No single edge was tested."
    )


def _prediction_sentence(errors: RegimeErrors, edges: int) -> str:
    """Return what held-out regimes say of the network as a whole."""
    if not edges:
        return (
            "The network has no edges: of all settings tried, one without any edge predicts held-out perturbations with the "
            "smallest error."
        )
    measured = (
        f"R2 over that mean {errors.r2:.3f}, over {len(errors.network)} regimes, of genes that "
        "are no targets, with their regulators observed"
    )
    if errors.gain.clearly_positive:
        return (
            f"The network predicts held-out perturbations better than the mean of the other perturbations ({measured})."
        )
    return (
        "Held-out perturbations do not show that the network predicts better than the mean of the other perturbations: the "
        f"difference is within two standard errors ({measured})."
        if errors.r2 > 0
        else f"The network predicts held-out perturbations no better than the mean of the other perturbations ({measured})."
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
