"""What a fit on arrays returns, and the stack of models before and after training."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash.dynamics.predictors import Floats, Predictor, field_predictor
from scdash.dynamics.state_pairs.train import Trained
from scdash.fields import Params, VectorField


@dataclass(frozen=True)
class DynamicsFit:
    """The result of a fit on arrays; matrices are (target, regulator), weights have a leading axis of one model."""

    field: VectorField
    params: Params
    masks: Params
    replicates: list[Params]
    effects: sp.csr_matrix  # relu(v) D, signed
    edges: pd.DataFrame
    prior: dict[str, Any]
    history: pd.DataFrame
    metrics: dict[str, float]
    errors: pd.DataFrame  # one row per predictor, the model first
    fitted: Floats  # (rows kept, genes), scaled units: every state predicted from the start of its trajectory
    rows: NDArray[np.bool_]  # (rows,), of the series, that are kept with the fit: not all bootstraps
    report: str
    details: str = ""  # of the report
    verdict: dict[str, Any] = dataclasses.field(default_factory=dict)  # where there were null models
    directions: pd.DataFrame | None = None  # cells only: does the velocity follow the trajectory
    lineages: pd.DataFrame | None = None  # several lineages only: how the model's end of each compares with all ends
    slope: float = 1.0  # the field runs in units 1/2 + slope (x - 1/2) of the series' units
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Models:
    """The stack before and after training."""

    field: VectorField
    slope: float
    start: Trained
    trained: Trained

    def predictor(self, models: Trained, steps: int = 4) -> Predictor:
        """Return the first model of a stack as a predictor in the units of the series."""
        return field_predictor(self.field, one_of(models.params, 0), steps=steps, slope=self.slope)


def one_of(params: Params, model: int) -> Params:
    """Return the weights of one model of a stack, its axis kept."""
    return {name: value[model : model + 1] for name, value in params.items()}
