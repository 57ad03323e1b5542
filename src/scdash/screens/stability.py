"""How often the edges of a fitted screen are selected when its cells or perturbations are drawn again."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.errors import check_choice
from scdash._core.keys import genes_of, require_fit
from scdash._core.logging import step
from scdash._core.parallel import spread_all
from scdash._core.random_streams import RNG, as_generator
from scdash._data import loaded
from scdash.models import PerturbODE, Transport
from scdash.networks import plain
from scdash.resampling.stability import CONSISTENT, Selections, check_repeats, ranked, write_result
from scdash.screens.equilibrium.path import Settings
from scdash.screens.equilibrium.subsamples import (
    Chosen,
    Resampled,
    Selection,
    bootstrap_rows,
    half_of_perturbations,
    selections,
    stacked,
)
from scdash.screens.evidence import without_noise
from scdash.screens.fits import (
    ScreenOptions,
    in_sd_units,
    penalties,
    train_transport,
    transport_network,
)
from scdash.screens.fold_statistics import fitted_statistics
from scdash.screens.inputs import ScreenInputs, ScreenRequest, read_screen
from scdash.screens.statistics import PerturbationStatistics
from scdash.screens.transport.pruning import ScreenSparsity

EDGES_A_GENE = 5  # counted as selected where a network has no zeros


def stability_screen(
    adata: AnnData,  # AnnData that `scdash.tl.fit_perturbode` has written to, with the cells it was fitted on
    *,
    n_repeats: int = 100,
    resample: Literal["cells", "perturbations"] = "cells",
    key: str = "dynamics",  # the `key_added` of the fit
    n_jobs: int | None = None,
    rng: RNG = 0,  # seed or numpy Generator
) -> pd.DataFrame:
    """Refit a screen on resampled data, at the settings the fit has chosen, and count how often each edge comes back.

    `n_repeats`: refits. An equilibrium fit takes well under a second each for a hundred genes; training by transport
    is repeated whole. `resample`: "cells": bootstraps of the cells within every perturbation (Lin et al., appendix
    A.13). "perturbations": random halves of the perturbations; control always takes part. `n_jobs`: processes of
    joblib; None: one, or what `joblib.parallel_config` says (loky, dask, ray).

    The result is a table of edges, most frequent first: `source`, `target`, `frequency`, `mean_score`, `sd_score`
    (signed path scores; G in SD units for transport, of which the strongest five edges a gene count as selected).
    Written: `uns[f"{key}_stability"]` (`edges`, `params`, `report`), and `selection_frequency` in the edges of the
    fit.
    """
    check_choice("resample", resample, ("cells", "perturbations"))
    check_repeats(n_repeats)
    entry: Any = require_fit(adata, key)
    way = str(entry["params"]["fit"])
    if way not in ("equilibrium", "transport"):
        raise ValueError(f"uns[{key!r}] is the baseline {entry['params']['model']!r}; stability is for fit_perturbode.")
    genes_of(adata, entry, key, every=True)
    generator = as_generator(rng)
    with step(f"refitting a screen {n_repeats} times (resampled {resample})") as added:
        request = ScreenRequest.of_fit(adata, entry, key)
        inputs = read_screen(adata, request)
        folds = int(entry["params"]["n_folds"])
        stats = fitted_statistics(inputs, way, request.model.sources, folds, generator)
        sources = stats.sources if way == "equilibrium" else np.arange(len(inputs.columns))
        refits = _Refits(entry, inputs, stats, n_repeats, resample, generator, n_jobs)
        found = refits.equilibrium() if way == "equilibrium" else refits.transport()
        frequency, table = found.frequency, _table(inputs, sources, found)
        edges = entry["edges"].copy()
        place = pd.Index([str(g) for g in inputs.values.genes])
        row = pd.Index(sources).get_indexer(pd.Index(place.get_indexer(edges["source"].astype(str))))
        found_again = frequency[row, place.get_indexer(edges["target"].astype(str))]
        edges["selection_frequency"] = np.where(row >= 0, found_again, 0.0)
        result = {
            "edges": table,
            "params": {"n_repeats": n_repeats, "resample": resample, "key": key},
            "report": _report(edges, table, n_repeats),
        }
        said = f"and selection_frequency to the edges of uns[{key!r}]"
        table = write_result(adata.uns, f"{key}_stability", "edges", result, added, said)
        adata.uns[key]["edges"] = edges
    return table


@dataclass(frozen=True)
class _Refits:
    """`n` refits of what `entry` holds, on the data of `inputs` resampled as `resample` says."""

    entry: Any
    inputs: ScreenInputs
    stats: PerturbationStatistics
    n: int
    resample: str
    rng: np.random.Generator
    n_jobs: int | None

    def equilibrium(self) -> Selections:
        """Solve the regressions again at the settings that were chosen."""
        params = self.entry["params"]
        settings = Settings(
            covariation=float(params["covariation"]),
            nonnegative=bool(params["activating"]),
            hubs=bool(params["hubs"]),
            mcp=None if params["mcp"] is None else float(params["mcp"]),
            lambdas=tuple(float(v) for v in params["lambdas"]),
        )
        chosen = Chosen(settings, float(params["lam"]), bool(params["believed"]), float(params["explained"]))
        quiet = without_noise(self.stats)
        given = penalties(quiet, self.inputs.prior, float(params["prior_weight"]), self.inputs.regulators)
        cells, stats = (None, quiet) if self.resample == "perturbations" else (self.inputs.cells, self.stats)
        return selections(stats, chosen, self.n, self.rng, given, cells=cells, n_jobs=self.n_jobs)

    def transport(self) -> Selections:
        """Train again on resampled cells, or on half the perturbations, each time from other random weights."""
        params = self.entry["params"]
        names = Transport.__dataclass_fields__
        transport = Transport(**{name: plain(params[name]) for name in names if name in params})
        options = ScreenOptions(
            ScreenSparsity.from_config(params["pruning"]), PerturbODE(fit=transport), progress=False
        )
        x, whole = loaded(self.inputs.values), np.arange(self.inputs.values.shape[0])
        pieces = []
        for seed in self.rng.spawn(self.n):
            screen, rows = self.inputs.screen, whole
            if self.resample == "cells":
                rows = bootstrap_rows(screen, seed)
            else:
                screen = screen.keep(half_of_perturbations(screen.n_perturbations, seed))
            pieces.append((x, rows, replace(self.inputs, screen=screen), options, self.stats, seed))
        return stacked(spread_all(_train_again, pieces, "refits", n_jobs=self.n_jobs))


def _train_again(
    x: Any,
    rows: NDArray[np.int64],
    inputs: ScreenInputs,
    options: ScreenOptions,
    stats: PerturbationStatistics,
    rng: np.random.Generator,
) -> Selection:
    weights = transport_network(train_transport(Resampled(x, rows), inputs, options, rng))
    score = in_sd_units(weights, stats)
    strongest = np.sort(np.abs(score[score != 0]))[-EDGES_A_GENE * len(score) :]
    return (np.abs(score) >= strongest[0]) & (score != 0) if len(strongest) else score != 0, score


def _table(inputs: ScreenInputs, sources: NDArray[np.int64], found: Selections) -> pd.DataFrame:
    names = np.asarray(inputs.values.genes, dtype=str)
    ever = np.nonzero(found.frequency)
    columns = {"source": names[sources[ever[0]]], "target": names[ever[1]], "frequency": found.frequency[ever]}
    return ranked(columns | {"mean_score": found.mean[ever], "sd_score": found.sd[ever]}, by="mean_score")


def _report(edges: pd.DataFrame, table: pd.DataFrame, n: int) -> str:
    genes = len(set(edges["target"]))
    own = edges.loc[edges["weight"] != 0, "selection_frequency"].iloc[: EDGES_A_GENE * genes]  # strongest first
    return (
        f"{int((table['frequency'] >= CONSISTENT).sum())} edges were selected in at least {CONSISTENT:.0%} of {n} refits; of the "
        f"network's own {len(own)} strongest edges {float((own >= CONSISTENT).mean()) if len(own) else 0:.0%} were, their median "
        f"frequency is {float(own.median()) if len(own) else 0:.2f}."
    )
