"""Tools: fit models of dynamics and of paired modalities, predict, perturb, interpret (`scdash.tl`)."""

from typing import TYPE_CHECKING

import lazy_loader

__getattr__, __dir__, _lazy = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_cross_validate": ["cross_validate"],
        "_cross_validate_sbnn": ["cross_validate_sbnn"],
        "_fit_dynamics": ["fit_dynamics"],
        "_influence": ["gene_influence"],
        "_modules": ["modules"],
        "_network_stats": ["coregulation", "network_stats"],
        "_pathways": ["pathways"],
        "_perturb": ["perturb"],
        "_perturbation_fates": ["perturbation_fates"],
        "_perturbation_scores": ["perturbation_scores"],
        "_perturbation_shift": ["perturbation_shift"],
        "_perturbode": ["fit_perturbode"],
        "_predict_perturbations": ["predict_perturbations"],
        "_predict": ["predict"],
        "_sbnn": ["sbnn"],
        "_sbnn_tsne": ["latent_tsne"],
        "_sparsity_path": ["sparsity_path"],
        "_screen_baseline": ["screen_baseline"],
        "_srrr": ["srrr"],
        "_stability": ["stability"],
    },
)

if TYPE_CHECKING:
    from scdash.tl._cross_validate import cross_validate
    from scdash.tl._cross_validate_sbnn import cross_validate_sbnn
    from scdash.tl._fit_dynamics import fit_dynamics
    from scdash.tl._influence import gene_influence
    from scdash.tl._modules import modules
    from scdash.tl._network_stats import coregulation, network_stats
    from scdash.tl._pathways import pathways
    from scdash.tl._perturb import perturb
    from scdash.tl._perturbation_fates import perturbation_fates
    from scdash.tl._perturbation_scores import perturbation_scores
    from scdash.tl._perturbation_shift import perturbation_shift
    from scdash.tl._perturbode import fit_perturbode
    from scdash.tl._predict import predict
    from scdash.tl._predict_perturbations import predict_perturbations
    from scdash.tl._sbnn import sbnn
    from scdash.tl._sbnn_tsne import latent_tsne
    from scdash.tl._screen_baseline import screen_baseline
    from scdash.tl._sparsity_path import sparsity_path
    from scdash.tl._srrr import srrr
    from scdash.tl._stability import stability

__all__ = [
    "coregulation",
    "cross_validate",
    "cross_validate_sbnn",
    "fit_dynamics",
    "fit_perturbode",
    "gene_influence",
    "latent_tsne",
    "modules",
    "network_stats",
    "pathways",
    "perturb",
    "perturbation_fates",
    "perturbation_scores",
    "perturbation_shift",
    "predict",
    "predict_perturbations",
    "sbnn",
    "sparsity_path",
    "screen_baseline",
    "srrr",
    "stability",
]
