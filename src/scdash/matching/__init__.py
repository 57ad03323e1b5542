"""The convex start: dynamics as one sparse regression per gene, all genes at once from Gram matrices."""

from scdash.matching._fit import TransitionFit, next_step_error, rollout_error, simulate
from scdash.matching._hubs import relative_contribution
from scdash.matching._l1 import l1_path
from scdash.matching._no_network import NoNetwork, fit_no_network
from scdash.matching._settings import TransitionSettings
from scdash.matching._transitions import fit_transitions

__all__ = [
    "NoNetwork",
    "TransitionFit",
    "TransitionSettings",
    "fit_no_network",
    "fit_transitions",
    "l1_path",
    "next_step_error",
    "relative_contribution",
    "rollout_error",
    "simulate",
]
