"""Writing a fit of dynamics to AnnData: everything is prepared first, the slots are set last."""

from importlib.metadata import version
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.edges.order import MAX_PAIRS
from scdash._core.fit_record import stamp
from scdash._core.keys import DynamicsKeys
from scdash._core.network import Network
from scdash._data import expression, sanitise
from scdash.dynamics.inputs import DynamicsInputs
from scdash.dynamics.options import FitOptions
from scdash.dynamics.predictors import units_of_field
from scdash.dynamics.result import DynamicsFit
from scdash.models.stored_settings import stored_tables
from scdash.networks import module_from_entry, pack
from scdash.networks.velocity_layer import set_velocity, velocity_line, velocity_of, wanted

MOST_VELOCITIES = 1_000_000_000  # rows x modelled genes above which no velocity layer is written unless asked for


def store(
    adata: AnnData,
    fit: DynamicsFit,
    inputs: DynamicsInputs,
    options: FitOptions,
    key: str,
    asked: dict[str, Any],
    *,
    write_velocity: bool | None = None,
) -> list[str]:
    """Write `fit` to `adata` and return a line for each slot, for the log."""
    keys, seen = DynamicsKeys(key), inputs.observed
    entry = sanitise(stamp(_entry(fit, inputs, options, asked)))
    network = Network.from_incoming(fit.effects / seen.standard.scale)
    grn = network.among(inputs.columns, adata.n_vars).outgoing
    velocity = None
    if wanted(adata, len(inputs.columns), most=MOST_VELOCITIES, switch=write_velocity):
        values = expression(adata, layer=inputs.keys.layer, genes=adata.var_names[inputs.columns])
        velocity = velocity_of(values, module_from_entry(entry), inputs.columns, adata.n_vars)
    genes = np.zeros(adata.n_vars, dtype=bool)
    genes[inputs.columns] = True

    adata.uns[key] = entry
    adata.varp[keys.grn] = grn
    set_velocity(adata, keys, velocity, inputs.columns)
    _set_position(adata, keys, seen.cell_position)
    adata.var[keys.genes] = genes
    return [
        f"added varp[{keys.grn!r}], network, row regulates column ({grn.nnz} edges)",
        f"added {velocity_line(keys, velocity)}var[{keys.genes!r}], modelled genes",
        *([] if seen.cell_position is None else [f"added obs[{keys.position!r}], place of every row on the time axis"]),
        f"added uns[{key!r}], model, edges, history, metrics, errors (see scdash.get)",
    ]


def _entry(fit: DynamicsFit, inputs: DynamicsInputs, options: FitOptions, asked: dict[str, Any]) -> dict[str, Any]:
    seen, series = inputs.observed, inputs.observed.series.select(fit.rows)
    states = series.states * seen.range + seen.minimum
    names = np.asarray(series.names, dtype=str)
    minimum, width = units_of_field(seen.minimum, seen.range, fit.slope)
    params = {
        "model": options.model,
        "field": fit.field.name,
        "field_config": fit.field.config(),
        "sparsity_asked": options.method_name,  # `sparsity` (in the settings of the fit) names what made the zeros
        "encoder": options.encoder,
        "start": options.start,
        "scale": options.scale,
        "no_prior_targets": options.missing,
        "n_models": options.n_models,
        "rng": options.seed,
        "cells": options.cells,
        "slope": fit.slope,
        **asked,
        **fit.settings,
        **({} if seen.alignment is None or seen.alignment.empty else {"alignment": seen.alignment}),
        "versions": {name: version(name) for name in ("scdash", "torch", "anndata", "numpy")},
    }
    return {
        "params": params,
        "genes": np.asarray(series.genes, dtype=str),
        "weights": pack(fit.params, fit.field),
        "masks": pack(fit.masks, fit.field),
        "replicates": {str(i + 1): pack(params, fit.field) for i, params in enumerate(fit.replicates)},
        "minimum": minimum,
        "range": width,
        **({} if inputs.lowest is None else {"lowest": inputs.lowest}),
        "history": fit.history,
        "metrics": fit.metrics,
        "errors": fit.errors,
        "verdict": fit.verdict,
        **({} if fit.directions is None else {"directions": fit.directions}),
        **({} if fit.lineages is None else {"lineages": fit.lineages}),
        **({"lineage_names": np.asarray(seen.lineage_names, dtype=str)} if seen.lineage_names else {}),
        "edges": fit.edges.assign(weight=fit.edges["weight"] / seen.standard.scale),  # per unit of the user's time
        **_correlation(fit, inputs),
        "given": stored_tables(inputs.prior, inputs.coregulation),
        "prior": fit.prior | ({} if inputs.prior is None else {"alignment": inputs.prior.report}),
        "series": {
            "time": seen.times[fit.rows],
            "trajectory": names[series.trajectory],
            "origin": names[series.parent[series.trajectory]],
            "split": np.asarray(["train", "validation", "test"])[series.split],
            "n_cells": np.ones(len(series)) if series.weights is None else series.weights,
            "states": states.astype(np.float32),
            "fitted": (fit.fitted * seen.range + seen.minimum).astype(np.float32),
            **({} if seen.lineage is None else {"lineage": seen.lineage[series.trajectory]}),
        },
        "report": fit.report,
        "details": fit.details,
    }


def _correlation(fit: DynamicsFit, inputs: DynamicsInputs) -> dict[str, Any]:
    """Return the correlations of regulators with genes over all cells, where the score of an edge rests on them."""
    halves = inputs.observed.halves
    if halves is None or not fit.prior.get("association_weight") or halves.within.correlation.size > MAX_PAIRS:
        return {}
    within, genes = halves.within, np.asarray(inputs.observed.series.genes, dtype=str)
    return {"correlation": {"sources": genes[within.sources], "values": within.correlation.astype(np.float32)}}


def _set_position(adata: AnnData, keys: DynamicsKeys, position: NDArray[np.float64] | None) -> None:
    """Write the place of every cell on the time axis of the fit, or take away that of an earlier fit of this name."""
    if position is not None:
        adata.obs[keys.position] = position
    elif keys.position in adata.obs:
        del adata.obs[keys.position]
