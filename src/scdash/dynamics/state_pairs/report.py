"""The report in words: every error beside its trivial baselines, what was decided, and what was not tested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from scdash._core.decisions import CLEAR, Difference
from scdash.dynamics.reporting.report_details import hidden_edges_line

TRIVIAL = ("constant", "no change")
TRAJECTORY_PREDICTORS = {
    "mean trajectory",
    "mean trajectory + start offset",
    "aligned mean trajectory",
    "nearest neighbours",
}


@dataclass(frozen=True)
class TrainingOutcome:
    """What training as an ODE did after the regression; `gain` None: there was no regression to start from."""

    gain: Difference | None  # by how much the validation error fell
    epochs: int
    interrupted: bool = False
    held_out: bool = True  # False: nothing could be left out, so that nothing was trained
    judged_by: str = (
        ""  # what folds have left out and chosen by, the regression being one of the choices; empty: no folds
    )

    def lines(self) -> list[str]:
        """Say whether training was kept, by which figures, and what was not tested."""
        found = []
        if self.interrupted:
            found.append(f"WARNING: training was interrupted after epoch {self.epochs}.")
        if self.gain is None:
            return [*found, f"Training started from random weights and took {self.epochs} epochs."]
        if not self.held_out:
            return [
                *found,
                "Not tested: training as a neural ODE, because there is one trajectory of a lineage, which cannot be left "
                "out, and no cells that could be halved: bins were made before. The model is the regression's.",
            ]
        if self.judged_by:
            return [*found, *self._choice(self.gain)]
        if self.epochs == 0:
            return [
                *found,
                "Not tested: training as a neural ODE, for which no epoch was asked. The model is the regression's.",
            ]
        if not self.gain.tested:
            found.append(
                "Not tested: whether training as a neural ODE improves on the regression, because that takes at least two "
                f"time windows of validation states, and there is {self.gain.pairs}. The model is the regression's."
            )
            return found
        change = (
            f"the validation error changed by {-self.gain.mean:+.2g} per case (two standard errors {CLEAR * self.gain.error:.2g}, "
            f"{self.gain.pairs} cases)"
        )
        if self.gain.clearly_positive:
            return [*found, f"Training as a neural ODE was kept: {change}."]
        return [*found, f"Training as a neural ODE was not kept: {change}, which is no clear gain over the regression."]

    def _choice(self, gain: Difference) -> list[str]:
        """Say how a model compares with the regression, which could have been chosen as well."""
        if self.epochs == 0:
            return [f"Training as a neural ODE was clearly worse on {self.judged_by}. The model is the regression's."]
        clear = "" if abs(gain.mean) > CLEAR * gain.error else ", which is no clear difference"
        return [
            f"The model was trained as a neural ODE for {self.epochs} epochs from the regression, and refitted to all states "
            f"that are not for test, its settings chosen by {self.judged_by}: their error, as a fraction of a constant's, "
            f"changed by {-gain.mean:+.2g} per fold (two standard errors {CLEAR * gain.error:.2g}, {gain.pairs} folds){clear}."
        ]


def report_text(
    controls: pd.DataFrame,
    metrics: Mapping[str, float],
    prior: Mapping[str, Any],
    *,
    training: TrainingOutcome,
    cells: bool,
    trajectory: Sequence[str] = (),
) -> str:
    """Put a fit into words.

    `controls`: one row per predictor, the fitted model first. `prior`: what became of it: `used`, `kept`, `not_supported`,
    `added`, `evidence_auc`, `evidence_se`, `fell_back`. `trajectory`: lines on that of cells (`DirectionTest.lines`).
    """
    errors = controls.set_index("predictor")
    held = "test_mse" if errors["test_mse"].notna().any() else "validation_mse"
    lines = [_verdict_line(cells=cells), *_error_lines(errors, held), *_baseline_lines(errors, held)]
    lines.append(_network_line(metrics))
    lines += [*training.lines(), *_prior_lines(prior)]
    lines += trajectory
    if metrics.get("solver_error", 0) > 0.01:
        remedy = "" if training.judged_by else "; raise Training(steps=...)"  # whole trajectories have no such setting
        lines.append(
            "Solver check: the predictions of this report are by rk4, which differs from dopri5 by "
            f"{metrics['solver_error']:.1%} of the change from one state to the next{remedy}."
        )
    return "\n".join(lines)


def _verdict_line(*, cells: bool) -> str:
    which = "cells that start from the regression and are trained on whole trajectories" if cells else "cells"
    return (
        "Verdict: not tested whether these regulators and this order of time predict better than random ones, because null "
        f"models are made for {which} only. No single edge was tested either."
    )


def _error_lines(errors: pd.DataFrame, held: str) -> list[str]:
    name = held.removesuffix("_mse")
    if np.allclose(errors[held], errors["rollout_mse"], equal_nan=True):
        lines = [
            f"Prediction of {name} states (mean squared error; every {name} time window is one step): {_listed(errors[held])}."
        ]
    else:
        lines = [
            f"Prediction of the next step on {name} states (mean squared error): {_listed(errors[held])}.",
            f"Multi-step prediction of whole {name} time windows (mean squared error): {_listed(errors['rollout_mse'])}.",
        ]
    if name == "validation":
        lines.append(
            "There are no test states: the model was chosen by the same states, so its own errors are too small."
        )
    return lines


def _listed(errors: pd.Series) -> str:
    """Name every error but those of the predictions of cells without a network, of which the best stands for all; the table has each."""
    others = errors.index.isin(TRAJECTORY_PREDICTORS)
    shown = [f"{predictor} {_number(value)}" for predictor, value in errors[~others].items()]
    known = errors[others].dropna()
    if len(known):
        shown.append(f"the best of {len(known)} predictions without a network ({known.idxmin()}) {known.min():.3g}")
    return ", ".join(shown)


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "not tested"


def _baseline_lines(errors: pd.DataFrame, held: str) -> list[str]:
    """Warn of every trivial predictor that the model does not beat."""
    ours = errors.iloc[0]
    lines = []
    for baseline in (*TRIVIAL, "no network"):
        if baseline not in errors.index:
            continue
        worse = [
            what
            for column, what in ((held, "the next step"), ("rollout_mse", "whole time windows"))
            if np.isfinite(ours[column]) and ours[column] >= errors.loc[baseline, column]
        ]
        if worse:
            lines.append(f"WARNING: the model predicts {' and '.join(worse)} no better than {baseline!r}.")
    return lines


def _network_line(metrics: Mapping[str, float]) -> str:
    line = (
        f"The network has {int(metrics['edges'])} edges; {int(metrics['genes_without_inputs'])} of {int(metrics['genes'])} "
        f"genes have no regulator. Of the model's prunable weights {metrics['sparsity']:.1%} are zero."
    )
    if metrics.get("effects_listed", 1.0) < 0.999:
        line += (
            " The network is too dense to be listed whole: the strongest regulators of every target are, which carry "
            f"{metrics['effects_listed']:.0%} of the effects."
        )
    return line


def _prior_lines(prior: Mapping[str, Any]) -> list[str]:
    if not prior.get("used"):
        return ["There is no prior: edges are ranked by the data alone."]
    lines = [
        f"Prior: {prior['used']} edges, of which the network has {prior['kept']}; the network has {prior['added']} further "
        "edges."
    ]
    return [*lines, hidden_edges_line(prior)]
