"""How often the edges of a fitted screen are selected when its cells or perturbations are drawn again."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.errors import unknown
from scdash._core.fit_record import stamp
from scdash._core.keys import genes_of, require_fit
from scdash._core.logging import logger, step
from scdash._core.parallel import spread_all
from scdash._core.random_streams import RNG, as_generator
from scdash._data import loaded, sanitise
from scdash.models import PerturbODE, Transport
from scdash.networks import plain
from scdash.screens.equilibrium.path import Settings
from scdash.screens.equilibrium.subsamples import (
    Chosen,
    Resampled,
    Selection,
    bootstrap_rows,
    cell_selections,
    frequencies,
    half_of_perturbations,
    perturbation_selections,
)
from scdash.screens.evidence import without_noise
from scdash.screens.fits import (
    ScreenOptions,
    in_sd_units,
    penalties,
    train_transport,
    transport_network,
)
from scdash.screens.inputs import ScreenInputs, ScreenRequest, read_screen
from scdash.screens.sources import sources_of
from scdash.screens.statistics import Floats, PerturbationStatistics
from scdash.screens.transport.pruning import ScreenSparsity
from scdash.tl._perturbode import NO_SOURCES, screen_statistics

if TYPE_CHECKING:
    from anndata import AnnData


OFTEN = 0.75  # of the refits: what the paper calls highly consistent
EDGES_A_GENE = 5  # counted as selected where a network has no zeros


def stability_screen(
    adata: "AnnData",
    *,
    n_repeats: int = 100,
    resample: Literal["cells", "perturbations"] = "cells",
    key: str = "dynamics",
    n_jobs: int | None = None,
    rng: RNG = 0,
) -> pd.DataFrame:
    """Refit a screen on resampled data, at the settings the fit has chosen, and count how often each edge comes back.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_perturbode` has written to, with the cells it was fitted on.
    n_repeats
        Refits. An equilibrium fit takes well under a second each for a hundred genes; training by transport is
        repeated whole.
    resample
        "cells": bootstraps of the cells within every perturbation (Lin et al., appendix A.13). "perturbations": random halves of
        the perturbations; control always takes part.
    key
        The `key_added` of the fit.
    n_jobs
        Processes of joblib; None: one, or what `joblib.parallel_config` says (loky, dask, ray).
    rng
        Seed or numpy Generator.

    Returns
    -------
    Table of edges, most frequent first: `source`, `target`, `frequency`, `mean_score`, `sd_score` (signed path scores;
    G in SD units for transport, of which the strongest five edges a gene count as selected). Written:
    `uns[f"{key}_stability"]` (`edges`, `params`, `report`), and `selection_frequency` in the edges of the fit.
    """
    if resample not in ("cells", "perturbations"):
        raise unknown("resample", resample, ("cells", "perturbations"))
    if n_repeats < 2:
        raise ValueError(f"n_repeats must be at least 2, found {n_repeats!r}.")
    entry: Any = require_fit(adata, key)
    way = str(entry["params"]["fit"])
    if way not in ("equilibrium", "transport"):
        raise ValueError(f"uns[{key!r}] is the baseline {entry['params']['model']!r}; stability is for fit_perturbode.")
    genes_of(adata, entry, key, every=True)
    generator = as_generator(rng)
    with step(f"refitting a screen {n_repeats} times (resampled {resample})") as added:
        folds = int(entry["params"]["n_folds"])
        request = ScreenRequest.of_fit(adata, entry, key)
        inputs = read_screen(adata, request)
        regressed = way == "equilibrium"
        needed = NO_SOURCES
        if regressed:
            needed = sources_of(inputs.screen, inputs.regulators, request.model.sources)
        stats = screen_statistics(inputs, folds, generator, sources=needed)
        refits = _equilibrium if way == "equilibrium" else _transport
        found = refits(entry, inputs, stats, n_repeats, resample, generator, n_jobs)
        frequency, mean, sd = frequencies(found)
        sources = needed if regressed else np.arange(len(inputs.columns))
        table = _table(inputs, sources, frequency, mean, sd)
        edges = entry["edges"].copy()
        place = pd.Index([str(g) for g in inputs.values.genes])
        row = pd.Index(sources).get_indexer(pd.Index(place.get_indexer(edges["source"].astype(str))))
        found_again = frequency[row, place.get_indexer(edges["target"].astype(str))]
        edges["selection_frequency"] = np.where(row >= 0, found_again, 0.0)
        report = _report(edges, table, n_repeats)
        params = {"n_repeats": n_repeats, "resample": resample, "key": key}
        adata.uns[f"{key}_stability"] = sanitise(stamp({"edges": table, "params": params, "report": report}))
        adata.uns[key]["edges"] = edges
        logger.info("    %s", report)
        added.append(f"added uns[{f'{key}_stability'!r}], and selection_frequency to the edges of uns[{key!r}]")
    table.attrs["report"] = report
    return table


def _equilibrium(
    entry: Any,
    inputs: ScreenInputs,
    stats: PerturbationStatistics,
    n: int,
    resample: str,
    rng: np.random.Generator,
    n_jobs: int | None,
) -> list[Selection]:
    params = entry["params"]
    settings = Settings(
        trust=float(params["trust"]),
        nonnegative=bool(params["activating"]),
        hubs=bool(params["hubs"]),
        mcp=None if params["mcp"] is None else float(params["mcp"]),
        lambdas=tuple(float(v) for v in params["lambdas"]),
    )
    chosen = Chosen(settings, float(params["lam"]), bool(params["believed"]), float(params["explained"]))
    quiet = without_noise(stats)
    given = penalties(quiet, inputs.prior, float(params["prior_weight"]), inputs.regulators)
    if resample == "perturbations":
        return perturbation_selections(quiet, chosen, n, rng, given, n_jobs=n_jobs)
    return cell_selections(inputs.cells, stats, chosen, n, rng, given, n_jobs=n_jobs)


def _transport(
    entry: Any,
    inputs: ScreenInputs,
    stats: PerturbationStatistics,
    n: int,
    resample: str,
    rng: np.random.Generator,
    n_jobs: int | None,
) -> list[Selection]:
    """Train again on resampled cells, or on half the perturbations, each time from other random weights."""
    params = entry["params"]
    names = Transport.__dataclass_fields__
    transport = Transport(**{name: plain(params[name]) for name in names if name in params})
    pruning = ScreenSparsity.from_config(params["pruning"])
    options = ScreenOptions(pruning, PerturbODE(fit=transport), progress=False)
    x = loaded(inputs.values)
    draws = []
    for seed in rng.spawn(n):
        screen, rows = inputs.screen, np.arange(inputs.values.shape[0])
        if resample == "cells":
            rows = bootstrap_rows(screen, seed)
        else:
            screen = screen.keep(half_of_perturbations(screen.n_perturbations, seed))
        draws.append((screen, rows, seed))
    pieces = [(x, rows, inputs, screen, options, stats, seed) for screen, rows, seed in draws]
    return spread_all(_train_again, pieces, "refits", n_jobs=n_jobs)


def _train_again(
    x: Any,
    rows: NDArray[np.int64],
    inputs: ScreenInputs,
    screen: Any,
    options: ScreenOptions,
    stats: PerturbationStatistics,
    rng: np.random.Generator,
) -> Selection:
    weights = transport_network(train_transport(Resampled(x, rows), replace(inputs, screen=screen), options, rng))
    score = in_sd_units(weights, stats)
    strongest = np.sort(np.abs(score[score != 0]))[-EDGES_A_GENE * len(score) :]
    return Selection((np.abs(score) >= strongest[0]) & (score != 0) if len(strongest) else score != 0, score)


def _table(
    inputs: ScreenInputs, sources: NDArray[np.int64], frequency: Floats, mean: Floats, sd: Floats
) -> pd.DataFrame:
    names = np.asarray(inputs.values.genes, dtype=str)
    source, target = np.nonzero(frequency)
    table = pd.DataFrame(
        {"source": names[sources[source]], "target": names[target], "frequency": frequency[source, target]}
    )
    table["mean_score"], table["sd_score"] = mean[source, target], sd[source, target]
    order = table.assign(size=table["mean_score"].abs()).sort_values(
        ["frequency", "size"], ascending=False, kind="stable"
    )
    return table.loc[order.index].reset_index(drop=True)


def _report(edges: pd.DataFrame, table: pd.DataFrame, n: int) -> str:
    genes = len(set(edges["target"]))
    own = edges.loc[edges["weight"] != 0, "selection_frequency"].iloc[: EDGES_A_GENE * genes]  # strongest first
    return (
        f"{int((table['frequency'] >= OFTEN).sum())} edges were selected in at least {OFTEN:.0%} of {n} refits; of the "
        f"network's own {len(own)} strongest edges {float((own >= OFTEN).mean()) if len(own) else 0:.0%} were, their median "
        f"frequency is {float(own.median()) if len(own) else 0:.2f}."
    )
