from ._guides import assign_guides as assign_guides
from ._normalize import normalize as normalize
from ._order import order_cells as order_cells
from ._paired import normalize_paired as normalize_paired
from ._paired import select_by_dropout as select_by_dropout
from ._perturbations import filter_perturbations as filter_perturbations
from ._prior import align_prior as align_prior
from ._trajectories import trajectories as trajectories
