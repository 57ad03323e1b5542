"""Tables of a fit of a screen: its edges, what it has to be compared with, and the finding in words."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash.screens.equilibrium.fit import EquilibriumFit
from scdash.screens.forward import (
    NETWORK,
    NONE,
    OTHERS,
    Forward,
    ForwardErrors,
    best_predictor,
    gene_sd,
    squared_errors,
)
from scdash.screens.held_out import HeldOutScores, mean_of_others, score_changes
from scdash.screens.inputs import ScreenInputs
from scdash.screens.network import shown
from scdash.screens.statistics import Floats, PerturbationStatistics
from scdash.screens.times.responses import TimedResponses


def held_out_by_perturbation(found: Forward | None, stats: PerturbationStatistics) -> pd.DataFrame:
    """Return the error of every predictor on every held-out perturbation, one row each."""
    if found is None:
        return pd.DataFrame({"perturbation": np.array([], dtype=str)})
    held, sd = np.flatnonzero(stats.fold >= 0), gene_sd(stats)
    table = {
        "perturbation": np.asarray(stats.screen.names, dtype=str)[held],
        "kind": np.asarray(stats.screen.kinds, dtype=str)[held],
    }
    errors = {name: squared_errors(predicted, stats, sd)[held] for name, predicted in found.predictions().items()}
    return pd.DataFrame(table | {name: error for name, error in errors.items() if np.isfinite(error).any()})


def report_text(
    compared: pd.DataFrame, errors: ForwardErrors | None, fit: EquilibriumFit, stats: PerturbationStatistics
) -> str:
    """Say whether held-out perturbations are predicted, what the network rests on, and what was not tested."""
    return " ".join([_prediction_sentence(compared, errors), _edges_sentence(fit, stats), _settings_sentence(fit)])


def _prediction_sentence(compared: pd.DataFrame, errors: ForwardErrors | None) -> str:
    """Return what held-out perturbations say of the network as a whole."""
    if errors is None or not len(errors.network):
        return (
            "Not tested: whether the network predicts perturbations that it has not seen, because there are too few "
            "perturbations to hold any out."
        )
    table = compared.set_index("predictor")["error"]
    measured = (
        f"mean squared error {table[NETWORK]:.4g} against {table[OTHERS]:.4g}, in units of the variance of a gene, over "
        f"{len(errors.network)} perturbations, each predicted from its targets alone by a network that has not seen it"
    )
    if errors.gain.clearly_positive:
        verdict = (
            "The network predicts perturbations that it has not seen better than the mean of the other perturbations"
        )
    elif errors.r2 > 0:
        verdict = (
            "It is not shown that the network predicts perturbations that it has not seen better than the mean of the other "
            "perturbations: the difference is within two standard errors"
        )
    else:
        verdict = (
            "The network predicts perturbations that it has not seen no better than the mean of the other perturbations"
        )
    best = best_predictor(compared, combined=False)
    advice = "" if best == NETWORK else f" The smallest error has: {best} ({table[best]:.4g})."
    return f"{verdict} ({measured}).{advice}"


def _edges_sentence(fit: EquilibriumFit, stats: PerturbationStatistics) -> str:
    """Return how many edges there are, how many their own perturbations show, and whose they are."""
    present = fit.model.weights != 0
    edges = int(present.sum())
    perturbed = fit.evidence.perturbed
    if not edges:
        return "The network has no edges; the table ranks pairs of genes all the same, by the evidence that there is."
    seen = present & shown(fit.evidence)
    counts = seen.sum(axis=1)
    names = np.asarray(stats.screen.genes, dtype=str)[stats.sources]
    top = [f"{names[j]} ({counts[j]})" for j in np.argsort(-counts, kind="stable")[:4] if counts[j]]
    untested = int(present[~perturbed].sum())
    return (
        f"The network has {edges} edges. The perturbation of their own source shows {int(seen.sum())} of them (beyond two "
        f"standard errors, beside the other regulators); {untested} come from genes that were never perturbed, and are "
        f"supported by how genes vary together alone." + (f" Most shown targets: {', '.join(top)}." if top else "")
    )


def _settings_sentence(fit: EquilibriumFit) -> str:
    s = fit.settings
    chosen = [
        f"weight of covariation within perturbations {s.trust:g}",
        "activating edges only" if s.nonnegative else "edges of both signs",
        *(["cheaper edges from regulators that have many"] if s.hubs else []),
        "lasso" if s.mcp is None else f"minimax concave penalty ({s.mcp:g})",
        f"lambda {fit.lam:.3g}",
    ]
    if fit.held_out is None:
        return f"Settings are defaults: {', '.join(chosen)}."
    rests = (
        "The regression over all perturbations is used, because its networks predict held-out perturbations: of perturbed "
        "sources the edges that their own perturbation shows, of other genes all"
        if fit.believed
        else "Only edges that the own perturbation of their source shows are used, because the regression over all "
        "perturbations does not predict held-out ones"
    )
    return f"{rests}. Settings, chosen by held-out perturbations: {', '.join(chosen)}."


def held_out_table(
    inputs: ScreenInputs, stats: PerturbationStatistics, predicted: Floats, observed: Floats, held: NDArray[np.int64]
) -> tuple[pd.DataFrame, HeldOutScores]:
    """Score predicted changes (held, genes) of the perturbations `held` of the screen, beside the trivial references."""
    whole = inputs.whole
    used = np.ones(stats.screen.n_perturbations, bool)
    mean = np.broadcast_to(mean_of_others(stats, used), observed.shape)
    free = ~whole.targets[held]
    rows = []
    guesses = (("fit", predicted), (OTHERS, mean), (NONE, np.zeros(mean.shape)))
    for name, guess in guesses:
        for i, r in enumerate(held):
            one = slice(i, i + 1)
            score = score_changes(guess[one], observed[one], mean[one], free[one], stats.within_sd)
            rows.append((whole.names[r], name, score.pearson, score.wr2, score.rmse))
    table = pd.DataFrame(rows, columns=["perturbation", "predictor", "pearson_of_changes", "wr2", "rmse_sd"])
    return table, score_changes(predicted, observed, mean, free, stats.within_sd)


def held_out_changes(inputs: ScreenInputs, stats: PerturbationStatistics, held: NDArray[np.int64]) -> Floats:
    """Return observed mean changes from control (held, genes) of perturbations that were not fitted.

    Of perturbations sampled at several times this is the response that all their times say together.
    """
    if stats.timed is not None:
        change, counts = held_out_at_times(inputs, stats.timed, stats.centre, held)
        own = replace(stats.timed, change=change, counts=counts, free=~inputs.whole.targets[held])
        return own.pooled()[0]
    whole, cells = inputs.whole, inputs.cells
    means = [cells[np.flatnonzero(whole.cells == r)].mean(axis=0) for r in held]
    observed: Floats = np.stack(means) - stats.centre
    return observed


def held_out_at_times(
    inputs: ScreenInputs, timed: TimedResponses, centre: Floats, held: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.int64]]:
    """Return the same at each time, (held, times, genes), NaN for none, and the cells behind it (held, times)."""
    whole, cells = inputs.whole, inputs.cells
    shape = (len(held), len(timed.times.values))
    change, counts = np.full((*shape, len(centre)), np.nan), np.zeros(shape, dtype=np.int64)
    for i, r in enumerate(held):
        for number in range(shape[1]):
            rows = np.flatnonzero((whole.cells == r) & (timed.times.cells == number))
            counts[i, number] = len(rows)
            if len(rows):
                change[i, number] = cells[rows].mean(axis=0) - centre
    return change, counts


def held_perturbations(inputs: ScreenInputs) -> NDArray[np.int64]:
    """Return the numbers, in the whole screen, of the perturbations that were not fitted."""
    fitted = set(inputs.screen.names)
    return np.array([r for r, name in enumerate(inputs.whole.names) if name not in fitted], dtype=np.int64)
