"""Predictions of unseen single and combined perturbations from a fit of a screen."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.errors import check_choice
from scdash._core.fit_settings import FitSettings
from scdash._core.keys import genes_of, require_fit
from scdash._core.logging import logger
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, as_generator
from scdash._core.types import TimesOrTexts
from scdash._data import all_genes
from scdash._data.neighbors import add_neighbors
from scdash._data.screen import Screen, parse_screen, split_label
from scdash.networks import count_targets, warn_of_negative_levels, warn_without_targets
from scdash.screens.baselines.best_predictor import BestPredictor
from scdash.screens.forward import NETWORK
from scdash.screens.inputs import ScreenRequest, read_screen, stored_kind
from scdash.screens.predictors import Predictor, predictor_of, warn_unsettled
from scdash.screens.statistics import Floats
from scdash.screens.store import unmeasured_targets
from scdash.screens.targets import Aliases, gene_aliases
from scdash.screens.times.result import predicted_at_times


@guarded
def predict_perturbations(
    adata: AnnData,
    perturbations: Iterable[str],
    *,
    kind: str | Mapping[str, str] | None = None,
    separator: str | None = None,
    times: TimesOrTexts | None = None,
    n_cells: int = 0,
    predictor: Literal["best", "network"] = "best",
    key: str = "dynamics",
    rng: RNG = 0,
) -> AnnData:
    """Predict the mean, or cells, of unseen single and combined perturbations from a fit of a screen.

    Targets take the strengths they had in training; genes never perturbed take the median strength. What such genes do
    to others was only seen in how cells co-vary: an equilibrium fit shrinks it by the fraction that predicted perturbations held
    out in the fit best (`uns[key]["screen"]["untried"]`). An equilibrium fit gives steady states, a transport fit where
    the control is carried to.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_perturbode` or `scdash.tl.screen_baseline` has written to.
    perturbations
        Labels such as `"A"` or `"A+B"`, of genes or of the symbols that the fit has read. `"A (knockdown)"` names the kind.
    kind
        As in the fit; None: the fit's. Where the fit has a gene with several kinds, say which is meant, here or in the label.
    separator
        None: the fit's.
    times
        For fits with `time_key`: times in the unit of the fit, as numbers or texts such as "D5"; one row is then returned for each
        perturbation and time. A perturbation that the fit has not seen has the mean change of the others at a sampled time, and
        beside it what the network says, relaxed to that time and shrunk to the fraction that perturbations left out predicted
        best. At times that were not sampled, a perturbation of the fit goes on from its own changes at the other times.
        None: one row per perturbation, the response at the last sampled time.
    n_cells
        0: one row per perturbation, its mean. Otherwise this many predicted cells per perturbation, beside as many
        observed ones where the screen has the perturbation, and of the control, with a UMAP of all of them.
    predictor
        "best": perturbations that the fit has not seen are predicted by what had the smallest error on held-out ones
        (`uns[key]["errors"]`): the network, the mean of the other perturbations, no change, a linear model with embeddings of
        genes, or, for combined perturbations, the sum of the single ones. Perturbations of the fit are predicted by the
        network. "network": by the network, whatever its error. With `times` the errors at each time decide
        (`uns[key]["errors_by_time"]`): those of perturbations left out for perturbations that the fit has not seen, and those of
        times left out for times that it has not seen; a perturbation of the fit is predicted from its own changes.
    key
        The `key_added` of the fit.
    rng
        Seed or numpy Generator of the cells drawn.

    Returns
    -------
    AnnData
        AnnData (perturbations, modelled genes): X predicted mean, `layers["change"]` from the control mean,
        `layers["observed_change"]` (NaN where the screen has no such perturbation), `layers["target"]` bool,
        `obs["perturbation"]`, `obs["predictor"]` (what predicted it), `obs["status"]` ("fitted", "held out", "not observed"), `obs["n_targets"]` (edges from the
        perturbed genes in the fitted network; where a gene has none, the log warns), `obs["converged"]` (False where the network
        oscillates or diverges instead of coming to rest: X is then its last state, and a warning is logged). With `times` also
        `obs["time"]`, and `uns["time_unit"]` where the fit knows it; changes are then from the control of the same time. With `n_cells`: AnnData (cells, modelled genes) with
        `obs["perturbation"]`, `obs["source"]` ("control", "observed", "predicted"), `obsm["X_pca"]`, `obsm["X_umap"]`.

    Raises
    ------
    NotFittedError
        If no fit of a screen is stored under `key`.
    ValueError
        If a label names a gene that was not modelled, or `times` are asked of a fit without `time_key`.

    See Also
    --------
    scdash.tl.fit_perturbode : Learn a regulatory network from a perturbation screen with the steady states or the ODE of PerturbODE.
    scdash.pl.perturbation : Draw predicted against observed perturbations, one panel each.

    Examples
    --------
    >>> predicted = scdash.tl.predict_perturbations(adata, ["G001+G002"])  # doctest: +SKIP
    """
    entry: Any = require_fit(adata, key)
    if "screen" not in entry:
        raise ValueError(f"uns[{key!r}] is no fit of a screen; use scdash.tl.predict or scdash.tl.perturb.")
    labels = [perturbations] if isinstance(perturbations, str) else list(perturbations)
    if not labels:
        raise ValueError("perturbations is empty: name at least one, such as 'GENE' or 'GENE1+GENE2'.")
    genes = pd.Index([str(g) for g in entry["genes"]])
    aliases = gene_aliases(adata, FitSettings.of(entry, key).text("symbols"))
    parsed = _parse(labels, genes, entry, kind, separator, aliases)
    check_choice("predictor", predictor, ("best", "network"))
    network = predictor_of(entry)
    best = BestPredictor.of(entry, network)
    chosen = best if predictor == "best" else network
    genes_of(adata, entry, key, every=bool(n_cells))  # cells of the data are drawn as starts
    rows = parsed.cells[1:]
    asked, n_targets = parsed.targets[rows], _n_targets(entry, parsed, rows)
    if times is not None:
        if n_cells:
            raise ValueError("n_cells: cells are not predicted at times; use n_cells=0, or leave times out.")
        found = predicted_at_times(entry, network, labels, parsed, n_targets, times, best=predictor == "best")
        by = (found.obs["predictor"] == NETWORK).to_numpy().reshape(len(rows), -1)  # perturbations by times
        _warn_of_targets(entry, parsed, rows, by.any(axis=1))
        return found
    if n_cells:
        _warn_of_targets(entry, parsed, rows, np.ones(len(rows), dtype=bool))
        return _with_cells(adata, entry, key, chosen, labels, parsed, n_cells, as_generator(rng))
    names = best.names(asked) if predictor == "best" else [NETWORK] * len(asked)
    _warn_of_targets(entry, parsed, rows, np.array([name == NETWORK for name in names]))
    _say_predictors(names)
    change, converged = chosen.solve(asked, tuple(parsed.kinds[r] for r in rows))
    warn_unsettled(converged)
    observed, status = _observed(entry["screen"], parsed, rows)
    obs = pd.DataFrame(
        {
            "perturbation": labels,
            "status": pd.Categorical(status),
            "n_targets": n_targets,
            "converged": converged,
            "predictor": pd.Categorical(names),
        },
        index=[str(n) for n in labels],
    )
    result = AnnData((chosen.centre + change).astype(np.float32), obs=obs, var=pd.DataFrame(index=genes))
    result.layers["change"] = change.astype(np.float32)
    result.layers["observed_change"] = observed.astype(np.float32)
    result.layers["target"] = asked
    return result


def _say_predictors(names: list[str]) -> None:
    """Log how many perturbations are not predicted by the network, and why."""
    for name in sorted(set(names) - {NETWORK}):
        logger.info(
            "    %d of %d perturbations are predicted by the %s, whose error on held-out perturbations was smaller than that of "
            "the network; predictor='network' predicts them by the network all the same",
            names.count(name),
            len(names),
            name,
        )


def _parse(
    labels: list[str], genes: pd.Index, entry: Any, kind: Any, separator: str | None, aliases: Aliases
) -> Screen:
    params = entry["params"]
    control = ["control", *(str(label) for label in params["control"])]
    sign = str(params["separator"]) if separator is None else separator
    known = set(genes) | {name for name, meant in aliases.items() if set(meant) & set(genes)}
    parts = (split_label(str(label), control=control, separator=sign, genes=known) for label in labels)
    named = [gene for part in parts for name in part for gene in _meant(name, genes, aliases)]
    all_genes(dict.fromkeys(named), genes, "perturbations", error=ValueError)
    return parse_screen(
        ["control", *labels],
        genes,
        control=control,
        separator=sign,
        kind=stored_kind(params["kind"]) if kind is None else kind,
        aliases=aliases,
    )


def _meant(name: str, genes: pd.Index, aliases: Aliases) -> tuple[str, ...]:
    """Return the modelled genes that a name stands for, or the name itself where it stands for none."""
    return (name,) if name in genes else tuple(g for g in aliases.get(name, ()) if g in genes) or (name,)


def _n_targets(entry: Any, parsed: Screen, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many edges the perturbed genes have, (rows,)."""
    return np.asarray(parsed.targets[rows] @ count_targets(entry), dtype=np.int64)


def _warn_of_targets(entry: Any, parsed: Screen, rows: NDArray[np.int64], by_network: NDArray[np.bool_]) -> None:
    """Warn of perturbed genes without an edge or with a negative level.

    Only what the network predicts (`by_network`, (rows,)) changes nothing without an edge.
    """
    if str(entry["params"]["fit"]) != "constant":  # a constant change has no network
        perturbed = np.flatnonzero(parsed.targets[rows[by_network]].any(0))
        warn_without_targets(np.asarray(parsed.genes), count_targets(entry), among=perturbed)
    knocked = parsed.targets[rows][np.asarray(parsed.kinds)[rows] == "knockout"].any(0)
    if "effect" in entry["screen"]:  # a gene that was knocked out in training takes the value that it had there
        knocked &= np.isnan(np.asarray(entry["screen"]["effect"], dtype=float))
    warn_of_negative_levels(entry, np.flatnonzero(knocked))


def _observed(screen: Any, parsed: Screen, rows: NDArray[np.int64]) -> tuple[Floats, list[str]]:
    """Return the observed changes of perturbations that do the same to the same genes, whatever their labels, and their status."""
    known: dict[tuple[tuple[int, ...], str], tuple[Floats, str]] = {}
    for table, status in ((screen.get("held_out"), "held out"), (screen, "fitted")):
        if table is None:
            continue
        hidden = set(unmeasured_targets(table)["perturbation"])
        targets = sp.csr_matrix(table["targets"]).toarray() != 0
        for name, at, kind, change in zip(
            table["perturbations"], targets, table["kinds"], np.asarray(table["change"]), strict=True
        ):
            if str(name) not in hidden:
                known[tuple(np.flatnonzero(at)), str(kind)] = change, status
    nothing = np.full(parsed.targets.shape[1], np.nan), "not observed"
    found = [known.get((tuple(np.flatnonzero(parsed.targets[r])), parsed.kinds[r]), nothing) for r in rows]
    return np.stack([change for change, _ in found]), [status for _, status in found]


def _with_cells(
    adata: AnnData,
    entry: Any,
    key: str,
    predictor: Predictor,
    labels: list[str],
    parsed: Screen,
    n: int,
    rng: np.random.Generator,
) -> AnnData:
    """Return control, observed and predicted cells with one embedding of all."""
    import scanpy as sc

    inputs = read_screen(adata, ScreenRequest.of_fit(adata, entry, key))
    whole, cells = inputs.whole, inputs.cells
    if not whole.counts[0]:
        raise ValueError(
            "n_cells: predicted cells start from control cells, of which these data have none; use n_cells=0."
        )

    def some(perturbation: int) -> Any:
        of = np.flatnonzero(whole.cells == perturbation)
        return cells[np.sort(rng.choice(of, min(n, len(of)), replace=False))]

    parts, names, sources = [some(0)], ["control"], ["control"]
    told = [r for r in range(whole.n_perturbations) if not whole.hidden[r]]  # all targets are genes of the data
    known = {(tuple(np.flatnonzero(whole.targets[r])), whole.kinds[r]): r for r in told}
    for label, r in zip(labels, parsed.cells[1:], strict=True):
        targets, kind = parsed.targets[r], parsed.kinds[r]
        start = cells[rng.choice(np.flatnonzero(whole.cells == 0), n)]
        parts.append(predictor.cells(start.astype(float), targets, kind, rng))
        names.append(label)
        sources.append("predicted")
        seen = known.get((tuple(np.flatnonzero(targets)), kind))
        if seen is not None:
            parts.append(some(seen))
            names.append(label)
            sources.append("observed")
    sizes = [len(part) for part in parts]
    obs = pd.DataFrame({"perturbation": np.repeat(names, sizes), "source": np.repeat(sources, sizes)}, dtype="category")
    obs.index = pd.Index([f"cell{i}" for i in range(len(obs))])
    result = AnnData(np.concatenate(parts).astype(np.float32), obs=obs, var=pd.DataFrame(index=parsed.genes))
    seed = int(rng.integers(2**31 - 1))
    sc.pp.pca(result, n_comps=min(30, min(result.shape) - 1), random_state=seed)
    add_neighbors(result, n_neighbors=15, use_rep="X_pca", seed=seed)
    sc.tl.umap(result, random_state=seed)
    return result
