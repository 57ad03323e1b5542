"""The report on a fit of a screen: the verdict first, the errors behind it, the network, and what to do next."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scdash._core.display import aligned
from scdash.screens.equilibrium.fit import EquilibriumFit
from scdash.screens.forward import NETWORK, SINGLES, ForwardErrors, best_predictor
from scdash.screens.held_out import HeldOutScores
from scdash.screens.network import discovered, shown
from scdash.screens.statistics import PerturbationStatistics

TOO_FEW = "too few perturbations to hold any out"


def verdict_line(errors: ForwardErrors | None) -> str:
    """Return one sentence on what held-out perturbations say of the network as a whole."""
    if errors is None or not len(errors.network):
        return f"Verdict: not tested whether the network predicts unseen perturbations, because there are {TOO_FEW}."
    compared = "better than the mean of the other perturbations"
    if errors.gain.clearly_positive:
        return f"Verdict: the network predicts unseen perturbations {compared}."
    if errors.r2 > 0:
        return (
            f"Verdict: it is not shown that the network predicts unseen perturbations {compared}: the "
            "difference is within two standard errors."
        )
    return f"Verdict: the network predicts unseen perturbations no {compared}."


def error_lines(compared: pd.DataFrame, errors: ForwardErrors | None) -> list[str]:
    """Return the small table of errors on held-out perturbations; nothing where none was held out."""
    if errors is None or not len(errors.network):
        return []
    rows = []
    for row in compared.to_dict("records"):
        spread, likeness = row["standard_error"], row["pearson"]
        beside = f"standard error {spread:.2g}, " if np.isfinite(spread) else ""
        beside += "no correlation" if likeness == 0 else f"correlation with the observed change {likeness:.2f}"
        if row["predictor"] == SINGLES:
            beside += f", of {row['perturbations']} combined perturbations"
        rows.append((str(row["predictor"]), f"{row['error']:.4f}", f"({beside})"))
    first = (
        f"Mean squared error on {len(errors.network)} held-out perturbations, in units of the variance of a gene; each was "
        "predicted from its targets alone, by a network that has not seen it:"
    )
    return [first, *aligned(rows)]


def network_lines(fit: EquilibriumFit, stats: PerturbationStatistics) -> list[str]:
    """Return how many edges there are, how many their own perturbations show, and whose they are."""
    present = fit.model.weights != 0
    edges = int(present.sum())
    perturbed = fit.evidence.perturbed
    if not edges:
        return ["The network has no edges; the table ranks pairs of genes all the same, by the evidence that there is."]
    seen = present & shown(fit.evidence)
    counts = seen.sum(axis=1)
    names = np.asarray(stats.screen.genes, dtype=str)[stats.sources]
    top = [f"{names[j]} ({counts[j]})" for j in np.argsort(-counts, kind="stable")[:4] if counts[j]]
    untested = int(present[~perturbed].sum())
    size = np.abs(fit.evidence.direct_z)
    clear = present & discovered(size, size > 0)
    beyond = f" (|direct_z| from {size[clear].min():.1f})" if clear.any() else ""
    text = (
        f"The network has {edges} edge{'s' if edges > 1 else ''}. The perturbation of their own source shows {int(seen.sum())} of them beyond two "
        f"standard errors, beside the other regulators, and {int(clear.sum())} at a false discovery rate of 5 %{beyond} among "
        f"all {np.count_nonzero(size)} pairs of a perturbed gene and another"
    )
    if untested:
        text += f"; {untested} come from genes that were never perturbed, and are supported by how genes vary together alone"
    return [f"{text}.", *([f"Perturbations that show most of their edges: {', '.join(top)}."] if top else [])]


def settings_lines(fit: EquilibriumFit) -> list[str]:
    """Say which edges are used, and with which settings."""
    s = fit.settings
    chosen = [
        f"weight of covariation within perturbations {s.covariation:g}",
        "activating edges only" if s.nonnegative else "edges of both signs",
        *(["cheaper edges from regulators that have many"] if s.hubs else []),
        "lasso" if s.mcp is None else f"minimax concave penalty ({s.mcp:g})",
        f"lambda {fit.lam:.3g}",
    ]
    if fit.held_out is None:
        return [f"Settings are defaults: {', '.join(chosen)}."]
    rests = (
        "The regression over all perturbations is used, because its networks predict held-out perturbations: of perturbed "
        "sources the edges that their own perturbation shows, of other genes all"
        if fit.believed
        else "Only edges that the own perturbation of their source shows are used, because networks of the regression over "
        "all perturbations are not clearly better than none at predicting held-out ones"
    )
    return [f"{rests}.", f"Settings, chosen by held-out perturbations: {', '.join(chosen)}."]


def prior_line(edges: pd.DataFrame, used: int) -> str:
    """Say what became of the edges of the prior; `edges` is the table of the fit."""
    if not used:
        return "There is no prior: edges are found by the screen alone."
    of_network = edges[edges["weight"] != 0]
    kept = int(of_network["in_prior"].sum())
    return f"Prior: {kept} of its {used} edges are retained, {len(of_network) - kept} edges are novel."


def named_line(scores: HeldOutScores, number: int) -> str:
    """Say how well perturbations that were held out by name are predicted."""
    noun = "perturbation" if number == 1 else "perturbations"
    return (
        f"{number} {noun} held out by name: R2 over the mean of the other perturbations {scores.wr2:.3f}, Pearson of "
        f"changes {scores.pearson:.3f}."
    )


def next_line(compared: pd.DataFrame, errors: ForwardErrors | None) -> str:
    """Say what to do next."""
    if errors is None or not len(errors.network):
        return (
            "Next: do not rely on predictions of unseen perturbations, which were not tested. Read the edges that the "
            "perturbation of their own source shows (scdash.get.grn)."
        )
    best = best_predictor(compared, combined=False)
    if errors.gain.clearly_positive and best == NETWORK:
        return (
            "Next: read the edges by rank (scdash.get.grn), and test those of genes that were never perturbed by "
            "perturbing them."
        )
    other = "" if best == NETWORK else f"; {best} has the smallest error"
    return (
        f"Next: do not rely on the network's predictions of unseen perturbations{other}. Read single edges only where the "
        "perturbation of their own source shows them (scdash.get.grn)."
    )


def join(lines: Sequence[str]) -> str:
    """Return the report: each line that says something on its own."""
    return "\n".join(line for line in lines if line)
