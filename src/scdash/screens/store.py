"""Writing a fit of a screen to AnnData: everything is prepared first, the slots are set last."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData

from scdash._core.fit_record import stamp
from scdash._core.keys import DynamicsKeys
from scdash._core.logging import logger
from scdash._core.network import Network
from scdash._data import sanitise
from scdash._data.screen import Screen
from scdash.fields.perturbode import PerturbODE
from scdash.models.stored_settings import stored_tables
from scdash.networks import module_from_entry, unpack
from scdash.networks.velocity_layer import set_velocity, velocity_line, velocity_of, wanted
from scdash.screens.edges import add_effects, add_evidence, edge_table
from scdash.screens.fits import ScreenFit
from scdash.screens.inputs import ScreenInputs
from scdash.screens.predictors import AtRest, LinearScm, Predictor, predictor_of, warn_unsettled
from scdash.screens.report import join, named_line, prior_line
from scdash.screens.statistics import PerturbationStatistics
from scdash.screens.tables import held_out_at_times, held_out_changes, held_out_table, held_perturbations
from scdash.screens.times.predictions import stored_times

MOST_VELOCITIES = 200_000_000  # cells x modelled genes above which no velocity layer is written unless asked for
SIMULATED = 500_000  # perturbations x genes that are simulated at once
FELT = 0.01  # of a gene's within-perturbation SD: smaller total effects are not stored


def store_screen(
    adata: AnnData,
    inputs: ScreenInputs,
    stats: PerturbationStatistics,
    fit: ScreenFit,
    asked: dict[str, Any],
    key: str,
    *,
    write_velocity: bool | None = None,
) -> list[str]:
    """Write a fit of a screen to the slots of `DynamicsKeys`; return a line for each, for the log."""
    keys, d = DynamicsKeys(key), len(inputs.columns)
    entry = _entry(inputs, stats, fit, asked)
    predictor = None if entry["params"]["fit"] == "score" else predictor_of(entry)
    direct = _sensitivity(fit, stats)
    total = sp.csr_matrix((d, d)) if predictor is None else _total_effects(predictor, stats)
    edges = add_effects(edge_table(fit, inputs), inputs, direct, total)
    entry["edges"] = edges if fit.evidence is None else add_evidence(edges, inputs, stats, fit.evidence)
    named = _score_held_out(entry, inputs, stats, predictor)
    prior = prior_line(entry["edges"], entry["prior"]["used"]) if fit.evidence is not None else ""
    entry["report"] = join([*fit.report, prior, named, fit.next_step])
    entry = sanitise(stamp(entry))
    networks = {
        keys.grn: _among_all(Network.from_outgoing(fit.weights, fit.sources), inputs, adata.n_vars),
        keys.sensitivity: _among_all(Network.from_outgoing(direct), inputs, adata.n_vars),
        keys.total_effect: _among_all(Network.from_outgoing(total), inputs, adata.n_vars),
    }
    velocity = None
    if write_velocity and fit.params.get("raw_w") is None:
        logger.warning("    write_velocity=True has no effect: fit=%r has no ODE", entry["params"]["fit"])
    if fit.params.get("raw_w") is not None and wanted(adata, d, most=MOST_VELOCITIES, switch=write_velocity):
        velocity = velocity_of(inputs.values, module_from_entry(entry), inputs.columns, adata.n_vars)
    genes = np.zeros(adata.n_vars, bool)
    genes[inputs.columns] = True

    adata.uns[key] = entry
    for name, network in networks.items():
        adata.varp[name] = network
    set_velocity(adata, keys, velocity, inputs.columns)
    adata.var[keys.genes] = genes
    return [
        f"added varp[{keys.grn!r}], network, row regulates column ({networks[keys.grn].nnz} edges)",
        f"added varp[{keys.sensitivity!r}], varp[{keys.total_effect!r}], direct and total effects of the row",
        f"added {velocity_line(keys, velocity)}var[{keys.genes!r}], uns[{key!r}]",
    ]


def _entry(
    inputs: ScreenInputs, stats: PerturbationStatistics, fit: ScreenFit, asked: dict[str, Any]
) -> dict[str, Any]:
    d, screen = len(inputs.columns), inputs.screen
    names = np.asarray(screen.names, dtype=str)
    regulators = None if inputs.regulators is None else np.asarray(inputs.values.genes, dtype=str)[inputs.regulators]
    versions = {name: version(name) for name in ("scdash", "torch", "anndata", "numpy")}
    edges = int(np.count_nonzero(fit.weights))
    metrics = fit.metrics | {"edges": float(edges), "sparsity": 1 - edges / d**2}
    return {
        "params": {"model": "perturbode", "field": "perturbode", "field_config": fit.config, "regulators": regulators}
        | asked
        | fit.chosen
        | {"versions": versions},
        "genes": np.asarray(inputs.values.genes, dtype=str),
        "weights": fit.params,
        "masks": {},
        "replicates": {},
        "minimum": np.zeros(d),
        "range": np.ones(d),
        "lowest": stats.lowest,
        "history": fit.history,
        "metrics": metrics,
        "errors": fit.controls,
        "given": stored_tables(inputs.aligned),
        "prior": {"used": 0 if inputs.prior is None else int(inputs.prior.nnz)},
        "screen": {
            "perturbations": names,
            "kinds": np.asarray(screen.kinds, dtype=str),
            "cells": stats.counts,
            "targets": sp.csr_matrix(screen.targets.astype(np.int8)),
            "change": stats.y,
            "within_sd": stats.within_sd,
            "centre": stats.centre,
            "dropped": inputs.dropped,
            "unmeasured_targets": _unmeasured(screen),
            **fit.model,
            **({} if stats.timed is None else {"times": stored_times(stats.timed)}),
        },
        "series": {
            "time": np.zeros(len(names)),
            "trajectory": names,
            "split": np.full(len(names), "train"),
            "n_cells": stats.counts.astype(float),
            "states": (stats.y + stats.centre).astype(np.float32),
        },
        **fit.extra,
    }


def _unmeasured(screen: Screen) -> pd.DataFrame:
    """Return the targets that are no genes of the data, one row each."""
    rows = [(name, gene) for name, genes in zip(screen.names, screen.unmeasured, strict=False) for gene in genes]
    return pd.DataFrame(rows, columns=["perturbation", "target"], dtype=str)


def unmeasured_targets(table: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table of unmeasured targets of a stored screen; empty where an older fit has none."""
    found = table.get("unmeasured_targets")
    return pd.DataFrame({"perturbation": [], "target": []}) if found is None else found


def _sensitivity(fit: ScreenFit, stats: PerturbationStatistics) -> sp.csr_matrix:
    """Return d steady state / d regulator at the control mean (regulator, target); a linear model's are its weights."""
    if "raw_w" not in fit.params:
        return Network.from_outgoing(fit.weights, fit.sources).outgoing
    field = PerturbODE(**fit.config)
    with torch.no_grad():
        found = field.sensitivity(unpack(fit.params), torch.as_tensor(stats.centre, dtype=torch.float32))
    return Network.from_incoming(found[0].numpy()).outgoing.astype(float)


def _total_effects(predictor: Predictor, stats: PerturbationStatistics) -> sp.csr_matrix:
    """Return the change of the column when the row is perturbed alone, by the most frequent kind of the screen.

    Genes without edges change nothing else; the others are simulated some at a time.
    """
    d, kinds = len(stats.centre), stats.screen.kinds[1:]
    kind = max(sorted(set(kinds)), key=kinds.count)
    acting = predictor.model.regulators[0] if isinstance(predictor, AtRest | LinearScm) else np.arange(d)
    found, settled = [sp.csr_matrix((0, d))], [np.zeros(0, bool)]
    step = max(1, SIMULATED // d)
    for rows in (acting[first : first + step] for first in range(0, len(acting), step)):
        alone = rows[:, None] == np.arange(d)
        change, converged = predictor.solve(alone, (kind,) * len(rows))
        found.append(sp.csr_matrix(np.where(alone | (np.abs(change) < FELT * stats.within_sd), 0.0, change)))
        settled.append(converged)
    warn_unsettled(np.concatenate(settled))
    return Network.from_outgoing(sp.vstack(found), acting).outgoing


def _score_held_out(
    entry: dict[str, Any], inputs: ScreenInputs, stats: PerturbationStatistics, predictor: Predictor | None
) -> str:
    """Add what the fit says of perturbations that were held out by name; return it in words, "" where there are none."""
    held = held_perturbations(inputs)
    if predictor is None or not len(held):
        return ""
    kinds, targets = tuple(inputs.whole.kinds[r] for r in held), inputs.whole.targets[held]
    observed = held_out_changes(inputs, stats, held)
    entry["screen"]["held_out"] = {
        "perturbations": np.asarray(inputs.whole.names, dtype=str)[held],
        "kinds": np.asarray(kinds, dtype=str),
        "targets": sp.csr_matrix(targets.astype(np.int8)),
        "change": observed,
    }
    if stats.timed is not None:
        entry["screen"]["held_out"]["change_by_time"] = held_out_at_times(inputs, stats.timed, stats.centre, held)[0]
    entry["held_out"], scores = held_out_table(inputs, stats, predictor.changes(targets, kinds), observed, held)
    entry["metrics"] |= {"named_wr2": scores.wr2, "named_pearson_of_changes": scores.pearson}
    return named_line(scores, len(held))


def _among_all(network: Network, inputs: ScreenInputs, n_vars: int) -> sp.csr_matrix:
    """Return a network of the modelled genes among all genes, without edges from a gene to itself."""
    return network.without_self().among(inputs.columns, n_vars).outgoing
