"""Figures of merit of networks and predictions: NumPy, SciPy and pandas only, sparse all the way.

A network is given as a matrix (CSR or dense, ROW REGULATES COLUMN), as a table with columns ``source``, ``target`` and
optionally ``weight``, or as the AnnData a model was fitted to.
"""

from typing import TYPE_CHECKING

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_calibrated": ["calibrated_scores"],
        "edge_lists": ["EdgeList"],
        "_negatives": ["degree_matched_non_edges"],
        "_perturbations": ["PerturbationEvaluation", "evaluate_perturbations"],
        "_prediction": ["constant_mse", "mse_long_horizon", "mse_next_step", "no_change_mse"],
        "_ranking": ["Auprc", "auprc", "evidence_auc", "recall_at_density", "top_k_precision"],
        "_report": ["grn_report"],
        "_support": [
            "Confusion",
            "balanced_accuracy",
            "confusion",
            "density",
            "f1",
            "hypergeometric_p",
            "out_degree",
            "sparsity",
        ],
    },
)

if TYPE_CHECKING:
    from ._calibrated import calibrated_scores
    from ._negatives import degree_matched_non_edges
    from ._perturbations import PerturbationEvaluation, evaluate_perturbations
    from ._prediction import constant_mse, mse_long_horizon, mse_next_step, no_change_mse
    from ._ranking import Auprc, auprc, evidence_auc, recall_at_density, top_k_precision
    from ._report import grn_report
    from ._support import (
        Confusion,
        balanced_accuracy,
        confusion,
        density,
        f1,
        hypergeometric_p,
        out_degree,
        sparsity,
    )
    from .edge_lists import EdgeList
