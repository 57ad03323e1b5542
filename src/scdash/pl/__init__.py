"""Figures from what the other modules wrote: an AnnData or a table goes in, Axes come out.

Nothing is fitted here and torch is never imported. Every function takes these arguments, as scanpy's do:

`title`
    A text instead of the title of the panel, or above several panels; a list with one for each panel.
`figsize`
    Width and height of a new figure in inches; not with `ax`.
`ax`
    Draw here, divided where there are several panels.
`show`
    Show the figure. None: in interactive sessions, unless it was drawn into `ax`.
`save`
    Write the figure to `scanpy.settings.figdir`: True, or what to add to the name of the file, such as ``"_b.pdf"``.
`return_fig`
    Return the Figure instead of its Axes.
"""

from typing import TYPE_CHECKING

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_benchmark": ["benchmark"],
        "_coregulation": ["coregulation"],
        "_effects": ["effects"],
        "_embedding": ["embedding"],
        "_heatmap": ["heatmap"],
        "_history": ["history"],
        "_influence": ["influence"],
        "perturbations.knockouts": ["knockout_trends", "knockout_volcano"],
        "_lambdas": ["lambdas", "sparsity_path"],
        "_masks": ["masks"],
        "_modules": ["modules"],
        "_network": ["network", "networks"],
        "_pathways": ["pathways"],
        "perturbations.perturbation": ["perturbation"],
        "perturbations.perturbation_fates": ["perturbation_fates"],
        "perturbations.perturbation_scores": ["perturbation_scores"],
        "perturbations.perturbation_shift": ["perturbation_shift"],
        "_phase": ["phase"],
        "_projection": ["project_velocity"],
        "paired.sbnn": ["sbnn"],
        "paired.sbnn_scores": ["feature_scores", "gene_selection", "training"],
        "_trends": ["trends"],
        "_velocity": ["velocity"],
    },
)

if TYPE_CHECKING:
    from ._benchmark import benchmark
    from ._coregulation import coregulation
    from ._effects import effects
    from ._embedding import embedding
    from ._heatmap import heatmap
    from ._history import history
    from ._influence import influence
    from ._lambdas import lambdas, sparsity_path
    from ._masks import masks
    from ._modules import modules
    from ._network import network, networks
    from ._pathways import pathways
    from ._phase import phase
    from ._projection import project_velocity
    from ._trends import trends
    from ._velocity import velocity
    from .paired.sbnn import sbnn
    from .paired.sbnn_scores import feature_scores, gene_selection, training
    from .perturbations.knockouts import knockout_trends, knockout_volcano
    from .perturbations.perturbation import perturbation
    from .perturbations.perturbation_fates import perturbation_fates
    from .perturbations.perturbation_scores import perturbation_scores
    from .perturbations.perturbation_shift import perturbation_shift
