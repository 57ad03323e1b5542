"""Results as torch modules and tidy tables: AnnData or MuData in, nothing written (`scdash.get`)."""

from typing import TYPE_CHECKING

import lazy_loader

__getattr__, __dir__, _lazy = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_biology": ["influence", "pathways", "perturbable_genes", "perturbation_scores", "subnetwork"],
        "_dynamics": ["grn", "history", "report"],
        "_model": ["model"],
        "_network": ["network", "regulons"],
        "_report_html": ["report_html"],
        "_settings": ["settings"],
        "_sbnn": ["feature_scores", "gene_selection", "selected_genes"],
    },
)

if TYPE_CHECKING:
    from scdash.get._biology import influence, pathways, perturbable_genes, perturbation_scores, subnetwork
    from scdash.get._dynamics import grn, history, report
    from scdash.get._model import model
    from scdash.get._network import network, regulons
    from scdash.get._report_html import report_html
    from scdash.get._sbnn import feature_scores, gene_selection, selected_genes
    from scdash.get._settings import settings

__all__ = [
    "feature_scores",
    "gene_selection",
    "grn",
    "history",
    "influence",
    "model",
    "network",
    "pathways",
    "perturbable_genes",
    "perturbation_scores",
    "regulons",
    "report",
    "report_html",
    "selected_genes",
    "settings",
    "subnetwork",
]
