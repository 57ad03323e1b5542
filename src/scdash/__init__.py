"""Sparse, interpretable models of gene-regulatory dynamics and of paired modalities, between scanpy calls."""

from importlib.metadata import version

import lazy_loader

from scdash._logging import settings

# Submodules load on first use: `import scdash` must stay quick, and torch is needed by few of them.
__getattr__, __dir__, _lazy = lazy_loader.attach(
    __name__, submodules=["datasets", "fields", "get", "metrics", "pl", "pp", "simulate", "sparsity", "tl"]
)
__version__ = version("scdash")
__all__ = ["__version__", "datasets", "fields", "get", "metrics", "pl", "pp", "settings", "simulate", "sparsity", "tl"]
