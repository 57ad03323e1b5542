"""A fitted model as a torch module in the user's units, rebuilt from plain arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scdash._core.display import as_html, as_text, some_names
from scdash._core.fit_record import FitFormatError
from scdash._data import as_dense
from scdash.fields import SparsePhoenix, VectorField, field_class


class DynamicsModel(nn.Module):
    """dx/dt of a fitted model: `model(t, x)` for x (cells, genes) in the units of the data it was fitted on.

    Internally a gene runs in units of its own range, z = (x - minimum) / range, and time in units of `time_scale`, so
    dx/dt = range * f(z) / time_scale.

    Attributes
    ----------
    genes
        Names of the genes, in the order of the columns of x.
    field
        The vector field; its weights are the module's parameters, with a leading axis of length 1.
    minimum, range
        Offset and unit of every gene, (genes,); 0 and 1 where the model was fitted on the data as they were.
    time_scale
        Length of the field's unit of time, in the user's unit.
    """

    minimum: Tensor
    range: Tensor
    time_scale: float

    def __init__(
        self,
        field: VectorField,
        params: Mapping[str, Tensor],
        *,
        genes: NDArray[Any],
        minimum: NDArray[Any] | None = None,
        scale: NDArray[Any] | None = None,
        time_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.time_scale = time_scale
        self.field = field
        self.genes = np.asarray(genes, dtype=str)
        self.weights = nn.ParameterDict({name: nn.Parameter(value.clone()) for name, value in params.items()})
        example = next(iter(params.values()))
        lower = np.zeros(len(genes)) if minimum is None else minimum
        unit = np.ones(len(genes)) if scale is None else scale
        self.register_buffer("minimum", torch.as_tensor(lower, dtype=example.dtype))
        self.register_buffer("range", torch.as_tensor(unit, dtype=example.dtype))

    def __repr__(self) -> str:
        return as_text(self._title(), self._facts())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self._facts())

    def _title(self) -> str:
        return f"{type(self).__name__}: dx/dt of {len(self.genes):,} genes in the units of the data"

    def _facts(self) -> list[tuple[str, str]]:
        """Return what there is to know of the model before it is called."""
        weights = []
        for name, value in self.weights.items():
            size = " x ".join(f"{length:,}" for length in value.shape[1:])
            weights.append(f"{name} ({size}), {int((value != 0).sum()):,} not 0")
        return [
            ("field", type(self.field).__name__),
            ("genes", some_names(self.genes)),
            ("weights", "; ".join(weights)),
            ("time", "in the unit of the fit; the model itself does not depend on it"),
            ("call", f"model(t, x) with x of shape (cells, {len(self.genes):,}), columns as in model.genes"),
        ]

    def forward(self, t: Tensor | float, x: Tensor) -> Tensor:
        """Return dx/dt, (cells, genes) or (genes,); `t` is not used, the dynamics are autonomous."""
        z = ((x - self.minimum) / self.range).reshape(1, -1, x.shape[-1])
        params = dict(self.weights)
        # what is observed is linear in the state in every field, so that its derivative is observed the same way
        rate = self.field.observe(params, self.field.velocity(params, self.field.lift(params, z)))
        return rate.reshape(x.shape) * (self.range / self.time_scale)


def pack(params: Mapping[str, Tensor], field: VectorField | None = None) -> dict[str, Any]:
    """Turn the weights of ONE model (leading axis 1) into arrays; matrices of a density below 0.5 become CSR.

    Matrices keep float precision; anything but matrices stays dense, because h5ad holds no sparse vectors.
    """
    packed: dict[str, Any] = {}
    arrays = {name: value[0].detach().cpu().numpy() for name, value in params.items()}
    if isinstance(field, SparsePhoenix):
        arrays = field.to_matrices(arrays)
    for name, array in arrays.items():
        if sp.issparse(array):
            packed[name] = sp.csr_matrix(array)
            continue
        thin = array.ndim == 2 and array.size and np.count_nonzero(array) < 0.5 * array.size
        packed[name] = sp.csr_matrix(array) if thin else array
    return packed


def unpack(weights: Mapping[str, Any], field: VectorField | None = None) -> dict[str, Tensor]:
    """Undo `pack`."""
    if isinstance(field, SparsePhoenix):
        weights = field.from_matrices(weights)
    dense = {name: as_dense(value) for name, value in weights.items()}
    return {name: torch.as_tensor(np.ascontiguousarray(value))[None] for name, value in dense.items()}


def weights_of_models(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the stored weights of the main model and of its replicates."""
    return [entry["weights"], *(entry.get("replicates") or {}).values()]


def module_from_entry(entry: Mapping[str, Any], weights: Mapping[str, Any] | None = None) -> DynamicsModel:
    """Rebuild the module from an `uns` entry written by `tl.fit_dynamics`; `weights` default to the main model's."""
    params = entry["params"]
    if params["field"] == "none":
        raise FitFormatError(
            f"the baseline {str(params['model'])!r} of scdash.tl.screen_baseline has no equation of dynamics. Read it with "
            "scdash.get.grn, and predict with scdash.tl.predict_perturbations."
        )
    field = field_class(str(params["field"])).from_config(plain(params["field_config"]))
    return DynamicsModel(
        field,
        unpack(entry["weights"] if weights is None else weights, field),
        genes=np.array([str(gene) for gene in entry["genes"]]),  # zarr returns a dtype that numpy cannot cast
        minimum=np.asarray(entry["minimum"]),
        scale=np.asarray(entry["range"]),
        time_scale=float(params.get("time_scale", 1.0)),
    )


def plain(value: Any) -> Any:
    """Turn what h5ad and zarr return (arrays, numpy scalars) back into lists and Python numbers."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
