"""Sparse bottleneck networks and sparse reduced-rank regression: arrays in, arrays out; torch loads with the first."""

from typing import TYPE_CHECKING

import lazy_loader

from scdash.resampling.folds import Fold, make_folds

__getattr__, __dir__, _lazy = lazy_loader.attach(
    __name__,
    submod_attrs={
        "stacks": ["choose_device", "fit_networks"],
        "group_elastic": ["Penalty", "group_elastic_net"],
        "standardize": ["Scale", "Standardize", "learn_scale"],
        "bottleneck_module": ["SparseBottleneck", "module_from_entry"],
        "result": ["BottleneckFit", "Prediction", "predict"],
        "schedule": ["BottleneckTraining", "training_of"],
        "r2_scores": ["feature_r2", "learned_something", "multivariate_r2"],
        "reduced_rank": ["ReducedRank", "Regression"],
    },
)

if TYPE_CHECKING:
    from scdash.paired.bottleneck_module import SparseBottleneck, module_from_entry
    from scdash.paired.group_elastic import Penalty, group_elastic_net
    from scdash.paired.r2_scores import feature_r2, learned_something, multivariate_r2
    from scdash.paired.reduced_rank import ReducedRank, Regression
    from scdash.paired.result import BottleneckFit, Prediction, predict
    from scdash.paired.schedule import BottleneckTraining, training_of
    from scdash.paired.stacks import choose_device, fit_networks
    from scdash.paired.standardize import Scale, Standardize, learn_scale

__all__ = [
    "BottleneckFit",
    "Fold",
    "Penalty",
    "Prediction",
    "ReducedRank",
    "Regression",
    "Scale",
    "BottleneckTraining",
    "SparseBottleneck",
    "Standardize",
    "choose_device",
    "feature_r2",
    "fit_networks",
    "group_elastic_net",
    "learn_scale",
    "learned_something",
    "make_folds",
    "training_of",
    "module_from_entry",
    "multivariate_r2",
    "predict",
]
