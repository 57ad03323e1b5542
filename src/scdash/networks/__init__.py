"""What a fitted model says: its effects, its edges against the prior, and its predictions."""

from scdash.networks.cellrank_calls import cellrank, fate_probabilities
from scdash.networks.coregulation_scores import Coregulation, coregulation, followers
from scdash.networks.dynamics_model import DynamicsModel, module_from_entry, pack, plain, unpack, weights_of_models
from scdash.networks.edge_ranking import ranking_score
from scdash.networks.effect_matrices import (
    dependencies,
    effects,
    feature_sparsity,
    relative_contribution,
    sparse_effects,
    sparse_relative_contribution,
    spurious_sparsity,
    strongest_effects,
    weight_sparsity,
    with_products,
)
from scdash.networks.hidden_edges import HiddenEvidence, evidence_auc
from scdash.networks.intervention_levels import (
    count_targets,
    held_levels,
    named_levels,
    warn_of_interventions,
    warn_of_negative_levels,
    warn_without_targets,
)
from scdash.networks.interventions import EndShift, end_shift
from scdash.networks.predicted_trajectories import rollout
