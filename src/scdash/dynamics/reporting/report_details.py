"""Details of the report on a fit of cells: every comparison, what was chosen, hidden edges, and the order of time."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from scdash._core.decisions import Difference
from scdash.dynamics.reporting.report import Told, direction_warnings
from scdash.dynamics.reporting.verdict import Comparison
from scdash.dynamics.whole_trajectories.folds import TIME_POINTS


def details(told: Told) -> str:
    """Return what is told besides where details are asked for."""
    described = [line for line in told.trajectory if line not in direction_warnings(told)]  # they are in the summary
    lines = [*comparison_lines(told), *choice_lines(told), hidden_edges_line(told.prior), *described]
    lines += real_time_lines(told.real_time)
    return "\n".join(line for line in lines if line)


def comparison_lines(told: Told) -> list[str]:
    """Return every comparison with its log ratio of errors and the standard errors of it."""
    if told.verdict is None:
        return []
    verdict = told.verdict
    found = [
        _comparison("No network (bias and rates alone)", verdict.network),
        _comparison("Random regulators", verdict.regulators),
        "Shuffled priors: not used, because the model does not use its prior."
        if verdict.prior.outcome == "not used"
        else _comparison("Shuffled priors", verdict.prior),
        _comparison("Shuffled time", verdict.time),
        _comparison(f"Best baseline without a model ({verdict.best_baseline})", verdict.baselines),
        "A log ratio of errors is clear where it exceeds two standard errors over folds, and over sets where several were "
        "drawn.",
    ]
    if told.judged_by == TIME_POINTS:
        found.append("The folds are time points of the same trajectories, not independent replicates.")
    elif not told.whole:
        found.append(
            "The folds are halves of the same cells, not independent replicates: their standard errors show the noise of "
            "cells alone."
        )
    return found


def _comparison(name: str, found: Comparison) -> str:
    if found.outcome == "not tested":
        return (
            f"{name}: not tested."
            if not found.number
            else f"{name}: not tested, because it is the same fit as the model."
        )
    sets = (
        f" over folds, {found.set_error:.3f} over {found.number} sets"
        if np.isfinite(found.set_error)
        else " over folds"
    )
    behind = Difference(-found.gain, found.fold_error, 2).clearly_positive
    worse = "predicts better than the model" if behind else "not distinguished from the model"
    outcome = "the model is better" if found.outcome == "better" else worse
    return (
        f"{name}: {outcome} (error {found.null_error:.3f}, log ratio to the model's {found.gain:+.3f}, standard error "
        f"{found.fold_error:.3f}{sets})."
    )


def choice_lines(told: Told) -> list[str]:
    """Say what the folds have chosen, and by how much training lowered the held-out error."""
    choice = told.choice
    gain = Difference.of(choice.gain)
    spread = f", standard error {gain.error:.3f}" if gain.tested else ""
    return [
        f"Chosen on {told.judged_by}: {choice.epochs} epochs without pruning, {choice.level} rounds of pruning, "
        f"{choice.epochs_after} epochs after them, weight of the prior {choice.prior_weight:g}. Training and pruning changed the error of the regression start by {-gain.mean:+.3f} "
        f"({len(choice.gain)} folds{spread})."
    ]


def hidden_edges_line(prior: Mapping[str, Any]) -> str:
    """Say whether edges of the prior that were hidden from a fit are found again."""
    if not prior.get("used"):
        return ""
    auc, error = prior.get("evidence_auc", float("nan")), prior.get("evidence_se", float("nan"))
    if not np.isfinite(auc):
        why = (
            "too few could be hidden to compare them with other pairs of genes"
            if prior.get("hidden")
            else "no model was fitted with edges of the prior hidden; n_models=2 or more does that"
        )
        return f"Not tested: whether the data find hidden edges of the prior again, because {why}."
    shown = (
        f"Edges of the prior that were hidden from a fit are found again with an AUC of {auc:.2f} (standard error "
        f"{error:.2f}, chance 0.50)"
    )
    if prior.get("by_coregulation"):
        return (
            f"{shown}: less than two standard errors above chance. Co-regulation finds them again with an AUC of "
            f"{prior['coregulation_auc']:.2f} (standard error {prior['coregulation_se']:.3f}), so edges of the prior, and the "
            "other pairs, are ordered by how far a gene follows the other targets of a regulator, and not by the model."
        )
    if prior.get("fell_back"):
        return (
            f"{shown}: less than two standard errors above chance, so the data do not order edges of the prior, apart from "
            "putting those of the model first."
        )
    return f"{shown}: clearly above chance, so the data order edges within the prior and below it."


def real_time_lines(figures: Mapping[str, float]) -> list[str]:
    """Return what the regression of later cells on earlier ones explains, with time as observed and shuffled."""
    real = figures.get("explained_by_real_time", float("nan"))
    if not np.isfinite(real):
        return []
    return [
        f"A regression of later cells on other, earlier cells explains {real:.0%} of the variance of cells that it has not "
        f"seen, and {figures['explained_by_shuffled_time']:.0%} with time shuffled. Its scores of edges in real and in "
        f"shuffled time correlate at {figures['edges_like_shuffled_time']:.2f}."
    ]
