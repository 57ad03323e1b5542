"""What a fitted model says: its effects, its edges against the prior, and its predictions."""

from scdash.networks._cellrank import cellrank, fate_probabilities, has_cellrank
from scdash.networks._coregulation import Coregulation, coregulation, followers
from scdash.networks._effects import (
    dependencies,
    effects,
    feature_sparsity,
    model_sparsity,
    relative_contribution,
    sparse_effects,
    sparse_relative_contribution,
    spurious_sparsity,
    strongest_effects,
    weight_sparsity,
    with_products,
)
from scdash.networks._end_shift import EndShift, end_shift
from scdash.networks._held_levels import (
    count_targets,
    held_levels,
    refuse_negative_levels,
    warn_of_interventions,
    warn_of_negative_levels,
    warn_without_targets,
)
from scdash.networks._hidden import HiddenEvidence, evidence_auc
from scdash.networks._module import DynamicsModel, module_from_entry, pack, plain, unpack
from scdash.networks._ranking import ranking_score
from scdash.networks._rollout import rollout

__all__ = [
    "Coregulation",
    "DynamicsModel",
    "EndShift",
    "HiddenEvidence",
    "cellrank",
    "coregulation",
    "count_targets",
    "dependencies",
    "effects",
    "end_shift",
    "fate_probabilities",
    "feature_sparsity",
    "followers",
    "evidence_auc",
    "has_cellrank",
    "held_levels",
    "refuse_negative_levels",
    "model_sparsity",
    "module_from_entry",
    "pack",
    "plain",
    "relative_contribution",
    "ranking_score",
    "rollout",
    "sparse_effects",
    "sparse_relative_contribution",
    "spurious_sparsity",
    "strongest_effects",
    "with_products",
    "unpack",
    "warn_of_interventions",
    "warn_of_negative_levels",
    "warn_without_targets",
    "weight_sparsity",
]
