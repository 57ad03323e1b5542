"""The verdict on a fit of cells: what held-out predictions distinguish, what they do not, and what was not tested."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from scdash._decisions import Difference
from scdash.fitting._controls import NO_NETWORK, RANDOM, REFERENCE, SHUFFLED_PRIOR, SHUFFLED_TIME

Outcome: TypeAlias = Literal["better", "not distinguished", "not tested"]
Errors: TypeAlias = "np.ndarray[Any, np.dtype[np.floating[Any]]]"

MARGIN = 0.05  # smaller relative differences of held-out errors change their sign with the seed
SAME = 1e-9  # relative difference up to which two fits are the same fit


@dataclass(frozen=True)
class Verdict:
    """What held-out trajectories say of a network beside null models, in words and in figures.

    `supports_network` is True if the prediction is better than the best forecast without a network AND better than with
    random regulators. `network`, `regulators`, `prior` and `time` are the outcomes of the single comparisons.
    """

    supports_network: bool
    text: str
    best_without_network: str
    figures: dict[str, float]
    network: Outcome = "not tested"
    regulators: Outcome = "not tested"
    prior: Outcome = "not tested"
    time: Outcome = "not tested"

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict for `uns`."""
        return asdict(self)


def compare(ours: float, nulls: Errors) -> Outcome:
    """Compare an error with those of null models of one kind.

    "better": it is below every one of them by more than `MARGIN` and, where there are several, its logarithm is below the
    mean of theirs by more than two of their standard deviations. "not tested": there is no null model, an error is
    missing, or all are the same fit as ours, so that what they change has no influence.
    """
    nulls = np.asarray(nulls)
    if not len(nulls) or not np.isfinite(ours) or not np.isfinite(nulls).all():
        return "not tested"
    if (np.abs(nulls - ours) <= SAME * abs(ours)).all():
        return "not tested"
    clear = bool((ours < (1 - MARGIN) * nulls).all())
    if len(nulls) > 1:
        logs = np.log(np.maximum(nulls, 1e-300))
        clear = clear and bool(np.log(max(ours, 1e-300)) < logs.mean() - 2 * logs.std(ddof=1))
    return "better" if clear else "not distinguished"


def judge(controls: pd.DataFrame, figures: Mapping[str, float], held_out: pd.DataFrame | None = None) -> Verdict:
    """Compare whole held-out stretches predicted from their start (`rollout_mse`); the first row is the model.

    The model is compared with the best forecast without a network, over the held-out trajectories of `held_out` where
    there are several. Null models are compared with their own `REFERENCE`, the fit that was made as they were.
    """
    errors = controls.set_index("predictor")["rollout_mse"]
    ours = float(errors.iloc[0])
    reference = float(errors.get(REFERENCE, ours))
    without = errors[[name for name in NO_NETWORK if name in errors.index]].dropna()
    best = str(without.idxmin()) if len(without) else ""
    random, priors, time = (
        errors[errors.index.str.startswith(kind)].to_numpy() for kind in (RANDOM, SHUFFLED_PRIOR, SHUFFLED_TIME)
    )
    found = {
        "model": ours,
        "reference": reference,
        "best_without_network": float(without.min()),  # NaN without any
        "constant": float(errors.get("constant", np.nan)),
        "random_regulators": float(random.mean()) if len(random) else np.nan,
        "random_sets": float(len(random)),
        "random_sets_beaten": float((reference < random).sum()),
        "shuffled_prior": float(priors.mean()) if len(priors) else np.nan,
        "shuffled_priors": float(len(priors)),
        "shuffled_priors_beaten": float((reference < priors).sum()),
        "shuffled_time": float(errors.get(SHUFFLED_TIME, np.nan)),
        **figures,
    }
    network = compare(ours, without[[best]].to_numpy() if best else np.empty(0))
    if network == "better" and held_out is not None and not _over_trajectories(held_out, str(errors.index[0]), best):
        network = "not distinguished"
    outcomes: dict[str, Outcome] = {
        "network": network,
        "regulators": compare(reference, random),
        "prior": compare(reference, priors),
        "time": compare(reference, time),
    }
    supports = outcomes["network"] == outcomes["regulators"] == "better"
    return Verdict(supports, _text(found, best, outcomes), best, found, **outcomes)


def _over_trajectories(held_out: pd.DataFrame, ours: str, best: str) -> bool:
    """Return whether the model is clearly better over the held-out trajectories; True where there is only one."""
    wide = held_out.pivot_table(index="trajectory", columns="predictor", values="rollout_mse", observed=True)
    gain = Difference.of((wide[best] - wide[ours]).to_numpy())
    return gain.clearly_positive or not gain.tested


def _text(figures: Mapping[str, float], best: str, outcomes: Mapping[str, Outcome]) -> str:
    """Put the verdict into words, with the figures it rests on."""
    sentences = [_network_sentence(best, outcomes["network"]), _regulator_sentence(figures, outcomes["regulators"])]
    sentences += [_prior_sentence(figures, outcomes["prior"]), _time_sentence(outcomes["time"])]
    sentences.append("These comparisons test no single edge.")
    where = f"Verdict from {_stretches(figures)}"
    return "\n".join([f"{where}: {' '.join(sentences)}", _figures_sentence(figures, best), *_real_time(figures)])


def _stretches(figures: Mapping[str, float]) -> str:
    number = figures.get("held_out_stretches", np.nan)
    if not np.isfinite(number):
        return "held-out states"
    return "one held-out stretch" if number == 1 else f"{number:.0f} held-out stretches"


def _network_sentence(best: str, outcome: Outcome) -> str:
    if outcome == "not tested":
        return "Not tested: whether the model predicts held-out states better than a forecast without a network."
    if outcome == "better":
        return f"The model predicts held-out states better than {best!r}, the best forecast without a network."
    return f"Held-out prediction does not show that the model is better than {best!r}, the best forecast without a network."


def _regulator_sentence(figures: Mapping[str, float], outcome: Outcome) -> str:
    if outcome == "better":
        return "Held-out prediction is better with these regulators than with random ones."
    if outcome == "not distinguished":
        return "Held-out prediction does not distinguish these regulators from random ones."
    if not figures["random_sets"]:
        return (
            "Not tested: whether these regulators predict better than random ones, because every gene may regulate; name "
            "the regulators (regulators=...)."
        )
    return "Not tested: whether these regulators predict better than random ones, because an error is missing."


def _prior_sentence(figures: Mapping[str, float], outcome: Outcome) -> str:
    if outcome == "better":
        return "Held-out prediction is better with this prior than with shuffled ones."
    if outcome == "not distinguished":
        return "Held-out prediction does not distinguish this prior from shuffled ones."
    if not figures["shuffled_priors"]:
        return "Not tested: whether a prior helps, because there is none that could be shuffled."
    return (
        "Not tested: whether the prior helps, because it has no influence on this fit: shuffled priors give the same."
    )


def _time_sentence(outcome: Outcome) -> str:
    if outcome == "better":
        return "Held-out prediction is better with time as observed than with time shuffled."
    if outcome == "not distinguished":
        return "Held-out prediction does not distinguish time as observed from time shuffled."
    return "Not tested: whether the order of time matters."


def _figures_sentence(figures: Mapping[str, float], best: str) -> str:
    """Return the errors that the verdict rests on; those that are missing are left out."""
    parts = [f"model {figures['model']:.3g}", f"{best} {figures['best_without_network']:.3g}"] if best else []
    parts.append(f"the regression alone with its own regulators, prior and time {figures['reference']:.3g}")
    if np.isfinite(figures["random_regulators"]):
        parts.append(
            f"with random regulators {figures['random_regulators']:.3g} (mean of {figures['random_sets']:.0f}, of which "
            f"{figures['random_sets_beaten']:.0f} are worse)"
        )
    if np.isfinite(figures["shuffled_prior"]):
        parts.append(
            f"with shuffled priors {figures['shuffled_prior']:.3g} (mean of {figures['shuffled_priors']:.0f}, of which "
            f"{figures['shuffled_priors_beaten']:.0f} are worse)"
        )
    if np.isfinite(figures["shuffled_time"]):
        parts.append(f"with time shuffled {figures['shuffled_time']:.3g}")
    if np.isfinite(figures.get("noise_floor", np.nan)):
        parts.append(f"noise of the bins alone {figures['noise_floor']:.2g}")
    return f"Mean squared errors behind the verdict: {'; '.join(parts)}. Differences below {MARGIN:.0%} count as none."


def _real_time(figures: Mapping[str, float]) -> list[str]:
    """Return what the regression of later cells on earlier ones explains, with time as observed and shuffled."""
    real = figures.get("explained_by_real_time", np.nan)
    if not np.isfinite(real):
        return []
    return [
        f"A regression of later cells on other, earlier cells explains {real:.0%} of the variance of cells that it has not "
        f"seen, and {figures['explained_by_shuffled_time']:.0%} with time shuffled. Its scores of edges in real and in "
        f"shuffled time correlate at {figures['edges_like_shuffled_time']:.2f}."
    ]
