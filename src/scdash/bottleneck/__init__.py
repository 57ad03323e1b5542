"""Sparse bottleneck networks and sparse reduced-rank regression: arrays in, arrays out; torch loads with the first."""

from typing import TYPE_CHECKING

import lazy_loader

__getattr__, __dir__, _lazy = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_fits": ["choose_device", "fit_networks"],
        "_folds": ["Fold", "make_folds"],
        "_group_elastic": ["Penalty", "group_elastic_net"],
        "_scale": ["Scale", "Standardize", "learn_scale"],
        "_module": ["SparseBottleneck", "module_from_entry"],
        "_result": ["BottleneckFit", "Prediction", "predict"],
        "_schedule": ["Schedule", "ScheduleOptions", "make_schedule"],
        "_scores": ["feature_r2", "learned_something", "multivariate_r2"],
        "_srrr": ["ReducedRank", "Regression"],
    },
)

if TYPE_CHECKING:
    from scdash.bottleneck._fits import choose_device, fit_networks
    from scdash.bottleneck._folds import Fold, make_folds
    from scdash.bottleneck._group_elastic import Penalty, group_elastic_net
    from scdash.bottleneck._module import SparseBottleneck, module_from_entry
    from scdash.bottleneck._result import BottleneckFit, Prediction, predict
    from scdash.bottleneck._scale import Scale, Standardize, learn_scale
    from scdash.bottleneck._schedule import Schedule, ScheduleOptions, make_schedule
    from scdash.bottleneck._scores import feature_r2, learned_something, multivariate_r2
    from scdash.bottleneck._srrr import ReducedRank, Regression

__all__ = [
    "BottleneckFit",
    "Fold",
    "Penalty",
    "Prediction",
    "ReducedRank",
    "Regression",
    "Scale",
    "Schedule",
    "ScheduleOptions",
    "SparseBottleneck",
    "Standardize",
    "choose_device",
    "feature_r2",
    "fit_networks",
    "group_elastic_net",
    "learn_scale",
    "learned_something",
    "make_folds",
    "make_schedule",
    "module_from_entry",
    "multivariate_r2",
    "predict",
]
