"""Sparsity methods: one small file each, records of parts that the training loop calls without knowing their names."""

from scdash.sparsity._base import SPARSITIES, Context, Score, Sparsity, as_sparsity, from_config
from scdash.sparsity._choose import choose_one_standard_error
from scdash.sparsity._cnode import cnode
from scdash.sparsity._dash import DashScore, bio, dash, imp, none, posthoc
from scdash.sparsity._group_lasso import group_lasso, group_soft_threshold
from scdash.sparsity._l0 import l0
from scdash.sparsity._lassonet import hierarchical_prox, lassonet, zeros_as_masks
from scdash.sparsity._named import method_from, method_with, sparsity_of, sparsity_options
from scdash.sparsity._pathreg import pathreg
from scdash.sparsity._prior import Prior
from scdash.sparsity._remove import prune_to, remove_lowest
from scdash.sparsity._schedule import NEVER, GeometricSchedule
from scdash.sparsity._strength import one_lambda, per_model
from scdash.sparsity._values import (
    DASH,
    L0,
    METHODS,
    CNode,
    GroupLasso,
    LassoNet,
    MagnitudePruning,
    Method,
    PathReg,
    PriorPruning,
    TrainPruneFinetune,
)

__all__ = [
    "method_from",
    "method_with",
    "sparsity_of",
    "sparsity_options",
    "DASH",
    "L0",
    "METHODS",
    "NEVER",
    "SPARSITIES",
    "CNode",
    "Context",
    "DashScore",
    "GeometricSchedule",
    "GroupLasso",
    "LassoNet",
    "MagnitudePruning",
    "Method",
    "PathReg",
    "Prior",
    "PriorPruning",
    "Score",
    "Sparsity",
    "TrainPruneFinetune",
    "as_sparsity",
    "bio",
    "choose_one_standard_error",
    "cnode",
    "dash",
    "from_config",
    "group_lasso",
    "group_soft_threshold",
    "hierarchical_prox",
    "imp",
    "l0",
    "lassonet",
    "none",
    "one_lambda",
    "pathreg",
    "per_model",
    "posthoc",
    "prune_to",
    "remove_lowest",
    "zeros_as_masks",
]
