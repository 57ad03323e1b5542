"""The convex start: dynamics as one sparse regression per gene, all genes at once from Gram matrices."""

from scdash.regression.averaging import average, prune
from scdash.regression.cells import WeightedVelocity, path_of_fields
from scdash.regression.fold_fits import PartFit
from scdash.regression.held_out_trajectories import validation_folds
from scdash.regression.hub_penalties import relative_contribution
from scdash.regression.l1_paths import l1_path
from scdash.regression.linear_field import Field
from scdash.regression.production import softsign
from scdash.regression.regression_value import Regression
from scdash.regression.settings import TransitionSettings
from scdash.regression.transition_fit import TransitionFit, simulate
from scdash.regression.transitions import fit_transitions
