"""Sparse, interpretable models of gene-regulatory dynamics and of paired modalities, between scanpy calls."""

from importlib.metadata import version
from typing import TYPE_CHECKING

import lazy_loader

from scdash._core.logging import settings

# Submodules load on first use: `import scdash` must stay quick, and torch is needed by few of them.
__getattr__, __dir__, _lazy = lazy_loader.attach(
    __name__,
    submodules=["datasets", "fields", "get", "metrics", "models", "pl", "pp", "simulate", "sparsity", "tl"],
    submod_attrs={
        "_data.time_series.observations": ["Cells", "Samples"],
        "paired.schedule": ["BottleneckTraining"],
        "resampling.validation": ["Validation"],
        "regression.regression_value": ["Regression"],
        "training.settings": ["Training"],
    },
)
if TYPE_CHECKING:
    from scdash._data.time_series.observations import Cells, Samples
    from scdash.paired.schedule import BottleneckTraining
    from scdash.regression.regression_value import Regression
    from scdash.resampling.validation import Validation
    from scdash.training.settings import Training

__version__ = version("scdash")
__all__ = [
    "BottleneckTraining",
    "Cells",
    "Regression",
    "Samples",
    "Training",
    "Validation",
    "__version__",
    "datasets",
    "fields",
    "get",
    "metrics",
    "models",
    "pl",
    "pp",
    "settings",
    "simulate",
    "sparsity",
    "tl",
]
