"""The verdict on a network of cells: it has to predict better than no network, and than any genes in its regulators' place."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from scdash.fitting._controls import NO_NETWORK, RANDOM, SHUFFLED_PRIOR, SHUFFLED_TIME

SUPPORTS = "These trajectories support a network"
NO_EVIDENCE = "These trajectories give no evidence for these edges; read them as ranked hypotheses"


@dataclass(frozen=True)
class Verdict:
    """Whether held-out trajectories support the network, in words and in figures."""

    supports_network: bool
    text: str
    best_without_network: str
    figures: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict for `uns`."""
        return asdict(self)


def judge(controls: pd.DataFrame, figures: Mapping[str, float]) -> Verdict:
    """Apply the rule: the model beats the best model without a network AND every set of random regulators.

    Errors are of whole held-out stretches predicted from their start (`rollout_mse`); the first row is the model. Where
    no random sets could be drawn (every gene may regulate) the rule can not be met.
    """
    errors = controls.set_index("predictor")["rollout_mse"]
    ours = float(errors.iloc[0])
    without = errors[[name for name in NO_NETWORK if name in errors.index]].dropna()
    best = str(without.idxmin()) if len(without) else ""
    sets = {kind: errors[errors.index.str.startswith(kind)].to_numpy() for kind in (RANDOM, SHUFFLED_PRIOR)}
    random, priors = sets[RANDOM], sets[SHUFFLED_PRIOR]
    found = {
        "model": ours,
        "best_without_network": float(without.min()) if len(without) else np.nan,
        "constant": float(errors.get("constant", np.nan)),
        "random_regulators": float(random.mean()) if len(random) else np.nan,
        "random_sets": float(len(random)),
        "random_sets_beaten": float((ours < random).sum()),
        "shuffled_prior": float(priors.mean()) if len(priors) else np.nan,
        "shuffled_priors": float(len(priors)),
        "shuffled_priors_beaten": float((ours < priors).sum()),
        "shuffled_time": float(errors.get(SHUFFLED_TIME, np.nan)),
        **figures,
    }
    beats_none = bool(ours < found["best_without_network"])
    beats_random = bool(len(random)) and bool((ours < random).all())
    supports = beats_none and beats_random
    return Verdict(supports, _text(found, best, supports=supports), best, found)


def _text(figures: Mapping[str, float], best: str, *, supports: bool) -> str:
    """Put the verdict into words, with the figures it rests on."""
    parts = [
        f"on whole held-out stretches the model's error is {figures['model']:.3g}, that of the best model without a network "
        f"({best}) {figures['best_without_network']:.3g}"
    ]
    if figures["random_sets"]:
        parts.append(
            f"with {figures['random_sets']:.0f} random sets of regulators {figures['random_regulators']:.3g} "
            f"({figures['random_sets_beaten']:.0f} beaten)"
        )
    else:
        parts.append("random sets of regulators can not be drawn unless `regulators` names some of the genes")
    if figures["shuffled_priors"]:
        parts.append(
            f"with shuffled priors {figures['shuffled_prior']:.3g} ({figures['shuffled_priors_beaten']:.0f} of "
            f"{figures['shuffled_priors']:.0f} beaten)"
        )
    parts.append(f"with time shuffled {figures['shuffled_time']:.3g}")
    if np.isfinite(figures.get("noise_floor", np.nan)):
        parts.append(f"noise alone {figures['noise_floor']:.2g}")
    text = f"Verdict: {SUPPORTS if supports else NO_EVIDENCE} ({'; '.join(parts)})."
    real = figures.get("explained_by_real_time", np.nan)
    if np.isfinite(real):
        shuffled = figures["explained_by_shuffled_time"]
        text += (
            f" Earlier cells explain {real:.0%} of the variance of other, later cells around their lineage's mean, "
            f"{shuffled:.0%} with time shuffled: {'real time won' if real > shuffled else 'real time did NOT win'}; "
            f"scores of edges in real and in shuffled time correlate at {figures['edges_like_shuffled_time']:.2f}."
        )
    return text
