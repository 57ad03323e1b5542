"""PerturbODE on AnnData: reads a screen, fits, writes."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data import sanitise
from scdash._data._screen import parse_screen
from scdash._errors import unknown
from scdash._keys import DynamicsKeys, require_fit
from scdash._logging import logger, step
from scdash._random import RNG
from scdash.matching._equilibrium_fit import EquilibriumFit, fit_equilibrium, subsample_frequencies
from scdash.matching._held_out import Equilibrium, mean_of_others, predict_changes
from scdash.matching._regimes import RegimeStatistics, assign_folds, regime_statistics
from scdash.tl._screen_inputs import ScreenInputs, read_screen
from scdash.tl._seed import seed_of

if TYPE_CHECKING:
    from anndata import AnnData

Floats = NDArray[np.floating[Any]]
ROWS = 4096
SLOWEST = 1e-4  # as in fields._perturbode, which is not imported here: it needs torch


def fit_perturbode(
    adata: "AnnData",
    *,
    perturbation_key: str = "perturbation",
    control: str | Sequence[str] = "control",
    separator: str = "+",
    kind: str | Mapping[str, str] = "overexpression",
    fit: Literal["equilibrium", "transport"] = "equilibrium",
    prior: Any = None,
    prior_weight: float = 5.0,
    n_folds: int = 5,
    n_subsamples: int = 0,
    min_cells: int = 10,
    unknown_targets: Literal["error", "drop"] = "error",
    layer: str | None = None,
    mask_var: Any = None,
    key_added: str = "dynamics",
    transport: Mapping[str, Any] | None = None,
    rng: RNG = 0,
    copy: bool = False,
) -> "AnnData | None":
    r"""Learn a regulatory network from a perturbation screen with the steady states or the ODE of PerturbODE.

    .. math:: dx/dt = M_r [A\, \sigma(\alpha (B x - \beta)) + b] + u_r - w x

    (Lin et al., plus a bias). With `fit="equilibrium"` the steady states are matched by sparse regression, gene by
    gene, over the regimes that leave the gene alone, in seconds; every setting is chosen on held-out regimes. With
    `fit="transport"` control cells are carried through the ODE onto each regime's cells, as in the paper; this is for
    trajectories and as reproduction: it has not found edges as well in simulations.

    Parameters
    ----------
    adata
        Cells by genes, log-normalised.
    perturbation_key
        `obs` column of labels: a control label, `GENE`, or `GENE1+GENE2`. Cells without a label are left out.
    control
        Label(s) of unperturbed cells.
    separator
        Between the genes of a combined perturbation.
    kind
        `"overexpression"` (perfect), `"shift"` (imperfect over-expression), `"knockout"`, `"knockdown"`, or a mapping
        from label or gene to one of these.
    fit
        See above.
    prior, prior_weight
        Edges to penalise less (DataFrame with `source`, `target`, or a `varp` key), by the factor `prior_weight`.
        Only for `fit="equilibrium"`.
    n_folds
        Groups of regimes held out in turn.
    n_subsamples
        Random halves of the regimes on which the fit is repeated for `selection_frequency`; 0: none (NaN).
    min_cells
        Regimes with fewer cells are left out, with a warning.
    unknown_targets
        What to do with targets that are no genes of `adata`: an error naming them, or their cells are dropped.
    layer, mask_var, key_added, copy
        As in `scdash.tl.fit_dynamics`; targets of perturbations are always modelled.
    transport
        Settings of `fit="transport"`, e.g. `{"loss": "w2", "steps": 2000}`.
    rng
        Seed or numpy Generator (folds, subsamples, training).

    Returns
    -------
    None, or the copy. Written: `varp[f"{key_added}_grn"]` (CSR float32, row regulates column, signed),
    `uns[key_added]` (params, genes, weights, edges, history, metrics, controls, prior, series, screen, report),
    `layers[f"{key_added}_velocity"]` (float32, without intervention), `var[f"{key_added}_genes"]`.

    Examples
    --------
    >>> adata = scdash.simulate.sergio(genes=30, n_regimes=30, n_targets=1, rng=0)
    >>> sc.pp.log1p(adata)
    >>> scdash.tl.fit_dynamics(adata, model="perturbode", perturbation_key="perturbation")
    """
    if fit not in ("equilibrium", "transport"):
        raise unknown("fit", fit, ("equilibrium", "transport"))
    if prior is not None and fit == "transport":
        raise ValueError("prior is for fit='equilibrium'; the paper's training has none.")
    if not isinstance(key_added, str) or not key_added or "/" in key_added:
        raise ValueError(f"key_added must be a non-empty string without '/', found {key_added!r}.")
    if prior_weight < 1:
        raise ValueError(f"prior_weight must be at least 1, found {prior_weight!r}.")
    seed = seed_of(rng)
    adata = adata.copy() if copy else adata
    with step(f"fitting dynamics (perturbode, {fit})") as added:
        inputs = read_screen(
            adata,
            perturbation_key=perturbation_key,
            control=control,
            separator=separator,
            kind=kind,
            layer=layer,
            mask_var=mask_var,
            prior=prior,
            min_cells=min_cells,
            unknown_targets=unknown_targets,
        )
        generator = np.random.default_rng(seed)
        n_folds = min(n_folds, inputs.screen.n_regimes - 1)
        fold = assign_folds(inputs.screen.n_regimes, n_folds if n_folds > 1 else 1, generator)
        stats = regime_statistics(inputs.cells, inputs.screen, fold)
        _warn_flat(stats, adata.var_names[inputs.columns])
        asked = {
            "perturbation_key": perturbation_key,
            "control": [control] if isinstance(control, str) else list(control),
            "separator": separator,
            "kind": kind if isinstance(kind, str) else dict(kind),
            "fit": fit,
            "layer": layer,
            "min_cells": min_cells,
            "n_folds": n_folds,
            "rng": seed,
        }
        if fit == "equilibrium":
            entry, weights = _equilibrium(inputs, stats, prior_weight, n_subsamples, generator)
        else:
            entry, weights = _transport(inputs, stats, dict(transport or {}), generator)
        entry["params"] = _params(entry.pop("field_config"), asked, entry.pop("chosen"))
        added += write_screen_fit(adata, inputs, entry, weights, key_added, layer)
    return adata if copy else None


def _warn_flat(stats: RegimeStatistics, genes: pd.Index) -> None:
    flat = (stats.within_sd <= 0) & (np.ptp(stats.y, axis=0) <= 0)
    if flat.any():
        shown = ", ".join(str(g) for g in genes[flat][:5])
        logger.warning("%d gene(s) never vary and get no edges: %s", flat.sum(), shown)


def _equilibrium(
    inputs: ScreenInputs, stats: RegimeStatistics, prior_weight: float, n_subsamples: int, rng: np.random.Generator
) -> tuple[dict[str, Any], Floats]:
    penalty = None
    if inputs.prior is not None:
        penalty = np.where(inputs.prior.toarray() != 0, 1 / prior_weight, 1.0)
    fit = fit_equilibrium(stats, penalty=penalty)
    frequency = np.full_like(fit.score, np.nan)
    if n_subsamples:
        frequency, _ = subsample_frequencies(stats, fit, n_subsamples, rng)
    held_out = float(fit.cv["held_out_r2"].max()) if len(fit.cv) else float("nan")
    weights = fit.model.weights * (1.0 if fit.model.slope is None else fit.model.slope)
    entry = {
        "field_config": {"n_genes": len(weights), "n_modules": 0},
        "chosen": {
            "trust": fit.settings.trust,
            "activating": fit.settings.nonnegative,
            "hubs": fit.settings.hubs,
            "mcp": fit.settings.mcp,
            "lam": fit.lam,
        },
        "weights": field_weights(fit.model, stats.centre),
        "edges": edge_table(weights, fit.score, frequency, inputs),
        "history": fit.cv,
        "metrics": {
            "held_out_r2": held_out,
            "sparsity": float((weights == 0).mean()),
            "edges": int((weights != 0).sum()),
        },
        "controls": _controls(stats, fit),
        "screen": _screen_entry(inputs, stats, fit.model),
        "report": _report(held_out, fit),
    }
    return entry, weights


def field_weights(model: Equilibrium, centre: Floats) -> dict[str, Any]:
    """Return the weights of a gene-wise `PerturbODE` with w = 1 whose steady states are those of the equations.

    sigmoid - 1/2 is the feature of the equations, so half of each row of A goes to the bias.
    """
    slope = 1.0 if model.slope is None else model.slope
    a = model.weights.T
    one = np.log(np.expm1(1.0 - SLOWEST))  # softplus(one) + SLOWEST = 1
    return {
        "A": sp.csr_matrix(a.astype(np.float32)),
        "raw_alpha": np.full(len(a), np.log(np.expm1(slope)), np.float32),
        "raw_beta": centre.astype(np.float32),
        "raw_w": np.full(len(a), one, np.float32),
        "bias": (centre + model.constant - 0.5 * a.sum(axis=1)).astype(np.float32),
    }


def _transport(
    inputs: ScreenInputs, stats: RegimeStatistics, settings: dict[str, Any], rng: np.random.Generator
) -> tuple[dict[str, Any], Floats]:
    import torch

    from scdash.networks import pack
    from scdash.training._transport import TransportConfig, fit_transport

    allowed = TransportConfig.__dataclass_fields__
    for name in settings:
        if name not in allowed:
            raise unknown("transport setting", name, allowed)
    config = TransportConfig(**settings)
    x = np.concatenate([b.toarray() if sp.issparse(b) else b for _, b in inputs.values.blocks()])
    trained = fit_transport(x, inputs.screen, config, rng=rng)
    with torch.no_grad():
        weights = trained.field.network(trained.params)[0].numpy().T.astype(float)
    sd = np.sqrt(stats.within_sd**2 + stats.y.var(axis=0))
    score = weights * sd[:, None] / np.where(sd > 0, sd, np.inf)[None, :]
    np.fill_diagonal(score, 0)
    last = trained.history.iloc[-1]
    model = Equilibrium(np.zeros_like(weights), np.zeros(len(weights)), np.full(len(weights), np.nan))
    entry = {
        "field_config": trained.field.config(),
        "chosen": {k: getattr(config, k) for k in allowed},
        "weights": pack(trained.params),
        "edges": edge_table(weights, score, np.full_like(score, np.nan), inputs),
        "history": trained.history,
        "metrics": {"validation_loss": float(last["validation_loss"]), "epochs": int(last["epoch"])},
        "controls": pd.DataFrame({"predictor": np.array([], dtype=str), "held_out_r2": np.array([], dtype=float)}),
        "screen": _screen_entry(inputs, stats, model) | {"shift": trained.shift.numpy()},
        "report": "Trained by transport (losses in the paper's sense: see params['loss']); edges scored by G in SD units.",
    }
    return entry, weights


def edge_table(weights: Floats, score: Floats, frequency: Floats, inputs: ScreenInputs) -> pd.DataFrame:
    """Return the edges (regulator, target) with a weight or a score, strongest first; `score` is |path score|."""
    prior = np.zeros(weights.shape, bool) if inputs.prior is None else inputs.prior.toarray() != 0
    source, target = np.nonzero((weights != 0) | (score != 0) | prior)
    total = np.abs(weights).sum(axis=0)
    names = np.asarray(inputs.values.genes, dtype=str)
    table = pd.DataFrame(
        {
            "source": names[source],
            "target": names[target],
            "weight": weights[source, target],
            "contribution": np.abs(weights[source, target]) / np.maximum(total[target], 1e-300),
            "in_prior": prior[source, target],
            "selection_frequency": frequency[source, target],
            "score": np.abs(score[source, target]),
            "sign": np.sign(score[source, target]),
        }
    )
    return table[table["source"] != table["target"]].sort_values(
        "score", ascending=False, kind="stable", ignore_index=True
    )


def _controls(stats: RegimeStatistics, fit: EquilibriumFit) -> pd.DataFrame:
    """Return held-out R2 of the equations relative to the mean of the other perturbations, and the references'."""
    sd = np.where(stats.within_sd > 0, stats.within_sd, np.inf)
    reference = none = 0.0
    for fold in range(int(stats.fold.max()) + 1):
        out = stats.fold == fold
        mean = mean_of_others(stats, ~out)
        reference += float((((mean - stats.y[out]) / sd * stats.free[out]) ** 2).sum())
        none += float(((stats.y[out] / sd * stats.free[out]) ** 2).sum())
    best = float(fit.cv["held_out_r2"].max()) if len(fit.cv) else np.nan
    return pd.DataFrame(
        {
            "predictor": ["equilibrium matching", "mean of the other perturbations", "no change"],
            "held_out_r2": [best, 0.0, 1 - none / reference if reference > 0 else np.nan],
        }
    )


def _report(held_out: float, fit: EquilibriumFit) -> str:
    s = fit.settings
    if np.isnan(held_out):
        return "Too few regimes to hold any out: default settings, nothing validated. Read edges as hypotheses."
    verdict = (
        "The network predicts held-out perturbations better than the mean of the other perturbations."
        if held_out > 0
        else "The network predicts held-out perturbations no better than the mean of the others: edges are hypotheses."
    )
    return (
        f"{verdict} R2 over it {held_out:.3f} (genes that are no targets; their regulators observed). Chosen: trust "
        f"{s.trust:g}, {'activating only' if s.nonnegative else 'both signs'}, hubs {s.hubs}, mcp {s.mcp}, lambda {fit.lam:.3g}."
    )


def _screen_entry(inputs: ScreenInputs, stats: RegimeStatistics, model: Equilibrium) -> dict[str, Any]:
    return {
        "regimes": np.asarray(inputs.screen.names, dtype=str),
        "kinds": np.asarray(inputs.screen.kinds, dtype=str),
        "cells": stats.counts,
        "targets": sp.csr_matrix(inputs.screen.targets.astype(np.int8)),
        "change": stats.y,
        "within_sd": stats.within_sd,
        "centre": stats.centre,
        "constant": model.constant,
        "effect": model.effect,
        "slope": model.slope,
        "dropped": inputs.dropped,
    }


def _params(config: Mapping[str, Any], asked: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    versions = {name: version(name) for name in ("scdash", "torch", "anndata", "numpy")}
    return {
        "model": "perturbode",
        "field": "perturbode",
        "field_config": dict(config),
        **asked,
        **chosen,
        "versions": versions,
    }


def write_screen_fit(
    adata: Any, inputs: ScreenInputs, entry: dict[str, Any], weights: Floats, key: str, layer: str | None
) -> list[str]:
    """Write a fit of a screen to the slots of `DynamicsKeys`; return a line for each, for the log."""
    import torch

    from scdash.fields import _perturbode  # noqa: F401 (registers the field)
    from scdash.networks import module_from_entry

    keys, d = DynamicsKeys(key), len(inputs.columns)
    names, centre = entry["screen"]["regimes"], entry["screen"]["centre"]
    whole = entry | {
        "genes": np.asarray(inputs.values.genes, dtype=str),
        "masks": {},
        "replicates": {},
        "minimum": np.zeros(d),
        "range": np.ones(d),
        "prior": {"used": 0 if inputs.prior is None else int(inputs.prior.nnz)},
        "series": {
            "time": np.zeros(len(names)),
            "trajectory": names,
            "split": np.full(len(names), "train"),
            "n_cells": entry["screen"]["cells"].astype(float),
            "states": (entry["screen"]["change"] + centre).astype(np.float32),
        },
    }
    whole = sanitise(whole)
    edges = sp.coo_matrix(np.where(np.eye(d, dtype=bool), 0, weights))
    at = inputs.columns
    grn = sp.csr_matrix((edges.data.astype(np.float32), (at[edges.row], at[edges.col])), shape=(adata.n_vars,) * 2)
    model = module_from_entry(whole)
    velocity = np.full((adata.n_obs, adata.n_vars), np.nan, np.float32)
    with torch.no_grad():
        for rows, block in inputs.values.blocks(ROWS):
            dense = block.toarray() if sp.issparse(block) else np.ascontiguousarray(block)
            velocity[rows, at] = model(0.0, torch.as_tensor(dense).to(model.minimum.dtype)).numpy()
    genes = np.zeros(adata.n_vars, bool)
    genes[at] = True

    adata.uns[key] = whole
    adata.varp[keys.grn] = grn
    adata.layers[keys.velocity] = velocity
    adata.var[keys.genes] = genes
    return [
        f"added varp[{keys.grn!r}], network, row regulates column ({grn.nnz} edges)",
        f"added layers[{keys.velocity!r}], var[{keys.genes!r}], uns[{key!r}]",
        str(entry["report"]),
    ]


def predict_perturbations(
    adata: "AnnData",
    perturbations: Iterable[str],
    *,
    kind: str | Mapping[str, str] | None = None,
    separator: str | None = None,
    key: str = "dynamics",
) -> "AnnData":
    """Predict the steady-state mean of unseen single and combined perturbations from an equilibrium fit.

    Targets take the strengths they had in training; genes never perturbed take the median strength.

    Parameters
    ----------
    adata
        AnnData that `fit_perturbode` has written to (`fit="equilibrium"`).
    perturbations
        Labels such as `"A"` or `"A+B"`.
    kind
        As in the fit; None: the fit's.
    separator
        None: the fit's.
    key
        The `key_added` of the fit.

    Returns
    -------
    AnnData (perturbations, modelled genes): X predicted mean, `layers["change"]` from the control mean,
    `obs["perturbation"]`, `layers["target"]` bool.
    """
    from anndata import AnnData

    entry: Any = require_fit(adata.uns, key)
    params, screen = entry["params"], entry["screen"]
    if params["fit"] != "equilibrium":
        raise ValueError("predict_perturbations needs a fit with fit='equilibrium'; use scdash.tl.predict for others.")
    labels = list(perturbations)
    genes = pd.Index([str(g) for g in entry["genes"]])
    parsed = parse_screen(
        ["control", *labels],
        genes,
        control="control",
        separator=str(params["separator"]) if separator is None else separator,
        kind=_kind(params["kind"]) if kind is None else kind,
    )
    model = Equilibrium(
        np.asarray(entry["weights"]["A"].todense() if sp.issparse(entry["weights"]["A"]) else entry["weights"]["A"]).T,
        np.asarray(screen["constant"]),
        np.asarray(screen["effect"]),
        float(screen["slope"]),
    )
    centre = np.asarray(screen["centre"])
    rows = parsed.cells[1:]
    kinds = tuple(parsed.kinds[r] for r in rows)
    change = predict_changes(model, centre, parsed.targets[rows], kinds)
    obs = pd.DataFrame({"perturbation": labels}, index=[str(label) for label in labels])
    result = AnnData((centre + change).astype(np.float32), obs=obs, var=pd.DataFrame(index=genes))
    result.layers["change"] = change.astype(np.float32)
    result.layers["target"] = parsed.targets[rows]
    return result


def _kind(stored: Any) -> str | dict[str, str]:
    return {str(k): str(v) for k, v in stored.items()} if isinstance(stored, Mapping) else str(stored)
