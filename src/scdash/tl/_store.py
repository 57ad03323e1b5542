"""Writing a fit of dynamics to AnnData: everything is prepared first, the slots are set last."""

from importlib.metadata import version
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data import expression, sanitise
from scdash._keys import DynamicsKeys
from scdash.fitting import DynamicsFit, FitOptions
from scdash.networks import module_from_entry, pack
from scdash.tl._inputs import DynamicsInputs
from scdash.tl._velocity_layer import affordable, set_velocity, velocity_of

MOST_VELOCITIES = 1_000_000_000  # rows x genes above which no velocity layer is written: it is dense, 4 bytes each


def check_key(key: object) -> None:
    """Raise unless `key` can name slots of AnnData."""
    if not isinstance(key, str) or not key or "/" in key:
        raise ValueError(f"key_added must be a non-empty string without '/', found {key!r}.")


def store(
    adata: Any, fit: DynamicsFit, inputs: DynamicsInputs, options: FitOptions, key: str, asked: dict[str, Any]
) -> list[str]:
    """Write `fit` to `adata` and return a line for each slot, for the log."""
    keys = DynamicsKeys(key)
    entry = sanitise(_entry(fit, inputs, options, asked))
    grn = _full_grn(fit, inputs, adata.n_vars)
    velocity = _velocity(adata, entry, inputs, inputs.keys.layer) if affordable(adata, MOST_VELOCITIES) else None
    genes = np.zeros(adata.n_vars, dtype=bool)
    genes[inputs.columns] = True

    adata.uns[key] = entry
    adata.varp[keys.grn] = grn
    set_velocity(adata, keys, velocity)
    adata.var[keys.genes] = genes
    return [
        f"added varp[{keys.grn!r}], network, row regulates column ({grn.nnz} edges)",
        f"added {'' if velocity is None else f'layers[{keys.velocity!r}], dx/dt; '}var[{keys.genes!r}], modelled genes",
        f"added uns[{key!r}], model, edges, history, metrics, controls (see scdash.get)",
    ]


def _entry(fit: DynamicsFit, inputs: DynamicsInputs, options: FitOptions, asked: dict[str, Any]) -> dict[str, Any]:
    series = inputs.series
    states = series.states * inputs.range + inputs.minimum
    sparsity = options.sparsity if isinstance(options.sparsity, str) else options.sparsity.name
    params = {
        "model": options.model,
        "field": fit.field.name,
        "field_config": fit.field.config(),
        "sparsity": sparsity,
        "encoder": options.encoder,
        "start": options.start,
        "scale": options.scale,
        "missing": options.missing,
        "n_models": options.n_models,
        "rng": options.seed,
        "cells": options.cells,
        "slope": fit.slope,
        **asked,
        **fit.settings,
        "versions": {name: version(name) for name in ("scdash", "torch", "anndata", "numpy")},
    }
    return {
        "params": params,
        "genes": np.asarray(series.genes, dtype=str),
        "weights": pack(fit.params, fit.field),
        "masks": pack(fit.masks, fit.field),
        "replicates": {str(i + 1): pack(params, fit.field) for i, params in enumerate(fit.replicates)},
        # the field's own units, 1/2 + slope (x - 1/2) of the series' units, as an offset and a unit of the data
        "minimum": inputs.minimum + inputs.range * (0.5 - 0.5 / fit.slope),
        "range": inputs.range / fit.slope,
        "history": fit.history,
        "metrics": fit.metrics,
        "controls": fit.controls,
        "verdict": fit.verdict,
        **({} if fit.held_out is None else {"held_out": fit.held_out}),
        **({} if fit.directions is None else {"directions": fit.directions}),
        "edges": fit.edges.assign(weight=fit.edges["weight"] / inputs.time.scale),  # per unit of the user's time
        "prior": fit.prior | ({} if inputs.prior is None else {"alignment": inputs.prior.report}),
        "series": {
            "time": inputs.times,
            "trajectory": np.asarray(series.names, dtype=str)[series.trajectory],
            "split": np.asarray(["train", "validation", "test"])[series.split],
            "n_cells": np.ones(len(series)) if series.weights is None else series.weights,
            "states": states.astype(np.float32),
            "fitted": (fit.fitted * inputs.range + inputs.minimum).astype(np.float32),
            **({} if inputs.lineage is None else {"lineage": inputs.lineage[series.trajectory]}),
            **({} if inputs.cell_position is None else {"cell_position": inputs.cell_position}),
        },
        "report": fit.report,
    }


def _full_grn(fit: DynamicsFit, inputs: DynamicsInputs, n_vars: int) -> sp.csr_matrix:
    """Return the network among all genes of the AnnData, row regulates column."""
    effects = fit.effects.tocoo()  # (target, regulator)
    rows, columns = inputs.columns[effects.col], inputs.columns[effects.row]
    grn = sp.csr_matrix(
        ((effects.data / inputs.time.scale).astype(np.float32), (rows, columns)), shape=(n_vars, n_vars)
    )
    grn.eliminate_zeros()
    return grn


def _velocity(adata: Any, entry: dict[str, Any], inputs: DynamicsInputs, layer: str | None) -> NDArray[np.float32]:
    values = expression(adata, layer=layer, genes=adata.var_names[inputs.columns])
    return velocity_of(values, module_from_entry(entry), inputs.columns, adata.n_vars)
