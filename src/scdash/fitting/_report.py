"""The report in words: every error beside its trivial baselines, and a verdict that does not flatter."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from scdash.fitting._controls import NO_NETWORK, RANDOM, SHUFFLED_PRIOR, SHUFFLED_TIME
from scdash.fitting._verdict import Verdict

TRIVIAL = ("constant", "no change")
FORECASTS = set(NO_NETWORK) - {"no network", *TRIVIAL}


def report_text(
    controls: pd.DataFrame,
    metrics: Mapping[str, float],
    prior: Mapping[str, Any],
    *,
    polished: bool | None,
    interrupted: bool = False,
    unjudged: bool = False,
    verdict: Verdict | None = None,
    course: Sequence[str] = (),
) -> str:
    """Put a fit into words.

    Parameters
    ----------
    controls
        One row per predictor; the fitted model is the first.
    metrics
        Figures of the fit.
    prior
        What became of the prior: `kept`, `doubted`, `added`, `evidence_auc`.
    polished
        Whether training as an ODE was kept over the matched start; None if there was no matched start.
    interrupted
        Whether training was ended from the keyboard.
    unjudged
        Whether the comparison with controls was, so that there is no verdict.
    verdict
        What the controls say about the network (cells).
    course
        Lines on the course of cells (`Course.lines`).
    """
    errors = controls.set_index("predictor")
    held = "test_mse" if errors["test_mse"].notna().any() else "validation_mse"
    lines = [_errors_line(errors, held), *_verdicts(errors, held, judged=verdict is not None)]
    lines.append(
        f"Sparsity {metrics['sparsity']:.1%}; {int(metrics['edges'])} edges; {int(metrics['genes_without_inputs'])} of "
        f"{int(metrics['genes'])} genes have no input."
    )
    if interrupted:
        lines.append(f"WARNING: training was interrupted after epoch {int(metrics['epochs'])} of more.")
    if unjudged:
        lines.append(
            "WARNING: interrupted while it was compared with its controls: there is no verdict on this network."
        )
    if metrics.get("effects_listed", 1.0) < 0.999:
        lines.append(
            f"The network is too dense to be listed whole: the strongest regulators of every target are, which carry "
            f"{metrics['effects_listed']:.0%} of the effects."
        )
    if polished is not None and metrics["epochs"] > 0:
        kept = (
            "kept: held-out error fell by more than its noise" if polished else "not kept: no clear gain over matching"
        )
        lines.append(f"Training as a neural ODE was {kept}.")
    lines += _prior_lines(prior)
    if verdict is not None:
        lines.append(verdict.text)
    lines += course
    if metrics.get("solver_error", 0) > 0.01:
        lines.append(
            f"Solver check: rk4 with these steps differs from dopri5 by {metrics['solver_error']:.1%} of the change; raise "
            "training={'steps': ...}."
        )
    return "\n".join(lines)


def _errors_line(errors: pd.DataFrame, held: str) -> str:
    name = held.removesuffix("_mse")
    errors = errors[~errors.index.str.startswith((RANDOM, SHUFFLED_PRIOR, SHUFFLED_TIME))]  # in the verdict
    return (
        f"Next-step error on held-out states ({name} MSE): {_listed(errors[held])}.\n"
        f"Whole held-out stretches from their start: {_listed(errors['rollout_mse'])}."
    )


def _listed(errors: pd.Series) -> str:
    """Name every error but those of the forecasts of cells, of which the best stands for all; the table has each."""
    others = errors.index.isin(FORECASTS)
    shown = [f"{predictor} {value:.3g}" for predictor, value in errors[~others].items()]
    known = errors[others].dropna()
    if len(known):
        shown.append(f"the best of {len(known)} forecasts without a network ({known.idxmin()}) {known.min():.3g}")
    return ", ".join(shown)


def _verdicts(errors: pd.DataFrame, held: str, *, judged: bool) -> list[str]:
    ours = errors.iloc[0]
    lines = []
    for baseline in (*TRIVIAL, "no network"):
        if baseline not in errors.index:
            continue
        worse = [
            what
            for column, what in ((held, "the next step"), ("rollout_mse", "whole stretches"))
            if np.isfinite(ours[column]) and ours[column] >= errors.loc[baseline, column]
        ]
        if worse and baseline == "no network" and judged:
            continue  # the verdict says so, and more
        if worse and baseline == "no network":
            lines.append(
                f"No better than genes relaxing without any network on {' and '.join(worse)}: these trajectories give no "
                "evidence for these edges; read them as ranked hypotheses."
            )
        elif worse:
            lines.append(f"WARNING: no better than {baseline!r} on {' and '.join(worse)}.")
    return lines


def _prior_lines(prior: Mapping[str, Any]) -> list[str]:
    if not prior.get("used"):
        return ["No prior: edges are ranked by the data alone."]
    lines = [
        f"Prior: {prior['used']} edges, {prior['kept']} kept, {prior['doubted']} doubted, {prior['added']} edges added to it."
    ]
    auc = prior.get("evidence_auc", float("nan"))
    if np.isfinite(auc):
        meaning = (
            "the data say nothing about which edges are real, so the score is the prior's own order"
            if prior.get("fell_back")
            else "hidden prior edges found again; .5 is chance"
        )
        lines.append(f"Evidence AUC {auc:.2f} ({meaning}).")
    return lines
