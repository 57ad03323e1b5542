"""The convex start: dynamics as one sparse regression per gene, all genes at once from Gram matrices."""

from scdash.matching._averaging import average, prune
from scdash.matching._cell_scores import CellScores, cell_scores
from scdash.matching._cells import path_of_fields
from scdash.matching._courses import (
    Courses,
    Forecast,
    aligned_template,
    analogue,
    choose_template_rates,
    choose_width,
    template,
)
from scdash.matching._derivatives import WeightedVelocity
from scdash.matching._drivers import softsign
from scdash.matching._fit import TransitionFit, next_step_error, rollout_error, simulate
from scdash.matching._hubs import relative_contribution
from scdash.matching._judging import judging_folds
from scdash.matching._l1 import l1_path
from scdash.matching._lagged import LaggedScores, lagged_scores, rank_correlation
from scdash.matching._no_network import NoNetwork, fit_no_network, relaxing
from scdash.matching._parts import PartFit
from scdash.matching._regression import Regression
from scdash.matching._settings import TransitionSettings
from scdash.matching._shuffled import (
    random_regulators,
    settings_of,
    shuffle_labels,
    shuffled_priors,
)
from scdash.matching._simulate import Field
from scdash.matching._transitions import fit_transitions
from scdash.matching._within import within_scores

__all__ = [
    "CellScores",
    "Courses",
    "Field",
    "Forecast",
    "LaggedScores",
    "NoNetwork",
    "PartFit",
    "Regression",
    "TransitionFit",
    "TransitionSettings",
    "WeightedVelocity",
    "aligned_template",
    "analogue",
    "average",
    "cell_scores",
    "choose_template_rates",
    "choose_width",
    "fit_no_network",
    "fit_transitions",
    "judging_folds",
    "l1_path",
    "lagged_scores",
    "next_step_error",
    "path_of_fields",
    "prune",
    "random_regulators",
    "rank_correlation",
    "relaxing",
    "relative_contribution",
    "rollout_error",
    "settings_of",
    "shuffle_labels",
    "shuffled_priors",
    "simulate",
    "softsign",
    "template",
    "within_scores",
]
