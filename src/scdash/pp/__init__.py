"""Preprocessing: normalise, order cells, smooth them into trajectories, align priors (`scdash.pp`)."""

from typing import TYPE_CHECKING

import lazy_loader

__getattr__, __dir__, _lazy = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_guides": ["assign_guides"],
        "_normalize": ["normalize"],
        "_order": ["order_cells"],
        "_paired": ["normalize_paired", "select_by_dropout"],
        "_perturbations": ["filter_perturbations"],
        "_prior": ["align_prior"],
        "_trajectories": ["trajectories"],
    },
)

if TYPE_CHECKING:
    from scdash.pp._guides import assign_guides
    from scdash.pp._normalize import normalize
    from scdash.pp._order import order_cells
    from scdash.pp._paired import normalize_paired, select_by_dropout
    from scdash.pp._perturbations import filter_perturbations
    from scdash.pp._prior import align_prior
    from scdash.pp._trajectories import trajectories

__all__ = [
    "align_prior",
    "assign_guides",
    "filter_perturbations",
    "normalize",
    "normalize_paired",
    "order_cells",
    "select_by_dropout",
    "trajectories",
]
