"""Whole fits on arrays: start, training, choice, network and controls. The AnnData functions above only read and write."""

from scdash.dynamics.problem import FitProblem, Units
from scdash.fitting._arguments import Asked, model_of, settle, sparsity_of, warn_unused
from scdash.fitting._fit import fit_series
from scdash.fitting._forecasters import forecasters, nearest_training, validation_errors
from scdash.fitting._lambdas import choose_lambdas, cross_validate_lambdas
from scdash.fitting._options import FitOptions, Recipe, recipe
from scdash.fitting._path import Regime, fit_path
from scdash.fitting._predictors import Predictor, field_predictor, pair_errors, rollout_errors, units_of_field
from scdash.fitting._result import DynamicsFit
from scdash.fitting._stored_settings import settings_of_fit, stored_arguments, stored_tables
from scdash.fitting._whole import suits_whole_trajectories

__all__ = [
    "Asked",
    "DynamicsFit",
    "FitOptions",
    "FitProblem",
    "Predictor",
    "Recipe",
    "Regime",
    "Units",
    "choose_lambdas",
    "cross_validate_lambdas",
    "field_predictor",
    "fit_path",
    "fit_series",
    "forecasters",
    "model_of",
    "nearest_training",
    "pair_errors",
    "recipe",
    "rollout_errors",
    "settings_of_fit",
    "settle",
    "suits_whole_trajectories",
    "sparsity_of",
    "stored_arguments",
    "stored_tables",
    "units_of_field",
    "validation_errors",
    "warn_unused",
]
