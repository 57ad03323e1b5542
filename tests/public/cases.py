"""For every public function that takes AnnData or MuData: data it can work on, and arguments that make it quick."""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scanpy as sc

import scdash

COURSE = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}
SHORT = {
    "training": scdash.BottleneckTraining(
        hidden=(8, 4), n_clusters=3, pretrain_epochs=2, frozen_epochs=2, unfrozen_epochs=2, tuning_epochs=2,
        autoencoder_epochs=2,
    ),
    "progress": False,
}  # fmt: skip
SETS = {"first": [f"g{i:02d}" for i in range(6)], "second": [f"g{i:02d}" for i in range(6, 12)]}


@dataclass(frozen=True)
class Case:
    """A call: `call(data, **more)`; `data()` makes fresh input."""

    data: Callable[[], Any]
    positional: tuple[Any, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)

    def call(self, function: Callable[..., Any], data: Any, **more: Any) -> Any:
        """Call it; positional arguments that are functions are made now."""
        given = [argument() if callable(argument) else argument for argument in self.positional]
        return function(data, *given, **(self.arguments | more))


@cache
def _counts() -> Any:
    rng = np.random.default_rng(0)
    adata = sc.AnnData(rng.poisson(rng.gamma(2, 1, 15), (40, 15)).astype(np.float32))
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(40)], [f"g{i:02d}" for i in range(15)]
    return adata


@cache
def _cells() -> Any:
    """Cells along a line in expression space."""
    rng = np.random.default_rng(1)
    place = np.sort(rng.random(60))
    values = np.exp(-((place[:, None] - np.linspace(0, 1, 12)) ** 2) / 0.1) * 3 + rng.random((60, 12)) * 0.2
    adata = sc.AnnData(values.astype(np.float32))
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(60)], [f"g{i:02d}" for i in range(12)]
    adata.obs["dpt_pseudotime"] = place
    adata.obs["root"] = np.where(np.arange(60) == 0, "yes", "no")
    return adata


@cache
def _course() -> Any:
    with_prior = scdash.simulate.grn_dynamics(n_genes=16, n_trajectories=16, n_test=3, noise=0.02, rng=3)
    return with_prior


@cache
def _fitted() -> Any:
    adata = _course().copy()
    scdash.tl.fit_dynamics(adata, prior=adata.uns["prior"], training=scdash.Training(max_epochs=0), **COURSE)
    scdash.tl.gene_influence(adata, n_starts=3, progress=False)
    scdash.tl.perturbation_scores(adata)
    scdash.tl.pathways(adata, SETS | {"third": list(adata.var_names[:4])}, min_size=2, n_permutations=20)
    return adata


@cache
def _screen() -> Any:
    adata = scdash.simulate.sergio(
        genes=10, n_edges=14, perturbations=[f"G{i:03d}" for i in range(8)], cells_per_perturbation=25, rng=2
    )
    sc.pp.log1p(adata)
    return adata


def guided() -> Any:
    """Return the screen with a guide in every cell."""
    adata = screen()
    labels = adata.obs["perturbation"].astype(str)
    adata.obs["guide"] = [f"{'NT' if x == 'control' else x}g{i % 2}" for i, x in enumerate(labels)]
    return adata


@cache
def _screen_fit() -> Any:
    adata = _screen().copy()
    scdash.tl.fit_perturbode(adata)
    return adata


@cache
def _paired() -> Any:
    mdata = scdash.simulate.paired(n_cells=60, n_genes=15, n_features=4, n_informative=4, rng=0)
    scdash.pp.normalize_paired(mdata)
    return mdata


@cache
def _raw_pairs() -> Any:
    return scdash.simulate.paired(n_cells=60, n_genes=15, n_features=4, n_informative=4, rng=0)


@cache
def _sbnn() -> Any:
    mdata = _paired().copy()
    scdash.tl.sbnn(mdata, n_features=4, **SHORT)
    return mdata


@cache
def _drawn() -> Any:
    adata = _fitted().copy()
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(adata.n_obs, 2))
    scdash.tl.perturbation_shift(adata, str(prior["source"].iloc[0]))
    return adata


@cache
def _trained() -> Any:
    adata = _course().copy()
    scdash.tl.fit_dynamics(adata, sparsity="imp", start="random", training=scdash.Training(max_epochs=6), **COURSE)
    return adata


@cache
def _knocked_out() -> Any:
    return scdash.tl.perturb(_fitted(), str(prior["source"].iloc[0]))


@cache
def _path() -> Any:
    adata = _course().copy()
    RETURNING["tl.sparsity_path"].call(scdash.tl.sparsity_path, adata)
    return adata


@cache
def _predicted() -> Any:
    return scdash.tl.predict_perturbations(_screen_fit(), ["G001"])


@cache
def _modules() -> Any:
    adata = _screen_fit().copy()
    scdash.tl.modules(adata, n_modules=3)
    return adata


@cache
def _evaluated() -> Any:
    mdata = _sbnn().copy()
    for name in ("tl.cross_validate_sbnn", "tl.stability"):
        RETURNING[name].call(public(name), mdata)
    return mdata


@cache
def _file() -> Path:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder) / "fit.html"


def fresh(make: Callable[[], Any]) -> Callable[[], Any]:
    """Return a maker of copies of what `make` makes once."""
    return lambda: make().copy()


counts, cells, course, fitted = (fresh(make) for make in (_counts, _cells, _course, _fitted))
screen, screen_fit, paired, raw_pairs, sbnn = (fresh(m) for m in (_screen, _screen_fit, _paired, _raw_pairs, _sbnn))
drawn, modules, evaluated = fresh(_drawn), fresh(_modules), fresh(_evaluated)
prior = _course().uns["prior"]

WRITING: dict[str, Case] = {
    "pp.normalize": Case(counts),
    "pp.order_cells": Case(cells, arguments={"root": ("root", "yes"), "n_neighbors": 8, "key_added": "found"}),
    "pp.align_prior": Case(course, (prior,), {"key_added": "aligned"}),
    "pp.assign_guides": Case(guided, arguments={"guide_key": "guide", "key_added": "found", "escapers": "flag"}),
    "pp.filter_perturbations": Case(screen),
    "pp.normalize_paired": Case(raw_pairs),
    "pp.select_by_dropout": Case(raw_pairs, arguments={"n_top_genes": 5}),
    "tl.fit_dynamics": Case(course, arguments=COURSE | {"prior": prior, "training": scdash.Training(max_epochs=0)}),
    "tl.fit_perturbode": Case(screen),
    "tl.screen_baseline": Case(screen),
    "tl.coregulation": Case(fitted),
    "tl.network_stats": Case(fitted, arguments={"n_random": 3}),
    "tl.gene_influence": Case(fitted, arguments={"n_starts": 4, "progress": False}),
    "tl.pathways": Case(fitted, (SETS,), {"min_size": 2, "n_permutations": 20}),
    "tl.perturbation_scores": Case(fitted, arguments={"genes": [str(prior["source"].iloc[0])]}),
    "tl.perturbation_shift": Case(fitted, (str(prior["source"].iloc[0]),)),
    "tl.modules": Case(screen_fit, arguments={"n_modules": 3}),
    "tl.sbnn": Case(paired, arguments=SHORT | {"n_features": 4}),
    "tl.srrr": Case(paired, arguments={"n_features": 4}),
    "tl.latent_tsne": Case(sbnn, arguments={"perplexity": 5}),
}

# Functions that return a table or a new AnnData; some keep the table in `uns`, too.
RETURNING: dict[str, Case] = {
    "pp.trajectories": Case(cells, arguments={"n_bins": 5}),
    "tl.cross_validate": Case(
        course,
        arguments={name: COURSE[name] for name in ("time_key", "trajectory_key", "split_key", "progress")}
        | {
            "prior": prior,
            "n_folds": 2,
            "grid": [0.1, 0.9],
            "start": "random",
            "training": scdash.Training(max_epochs=5),
        },
    ),
    "tl.sparsity_path": Case(
        course,
        arguments=COURSE | {"lambdas": [1e-3, 1e-2], "sparsity": "l0", "training": scdash.Training(max_epochs=1)},
    ),
    "tl.cross_validate_sbnn": Case(paired, arguments=SHORT | {"n_features": 4, "folds": 2}),
    "tl.stability": Case(paired, arguments=SHORT | {"n_features": 4, "n_repeats": 2}),
    "tl.predict": Case(fitted),
    "tl.perturb": Case(fitted, (str(prior["source"].iloc[0]),)),
    "tl.predict_perturbations": Case(screen_fit, (["G001", "G002+G003"],)),
    "get.grn": Case(fitted),
    "get.history": Case(fitted),
    "get.network": Case(fitted, arguments={"format": "decoupler"}),
    "get.regulons": Case(fitted),
    "get.report": Case(fitted),
    "get.report_html": Case(fitted, (_file,)),
    "get.settings": Case(fitted),
    "get.influence": Case(fitted),
    "get.pathways": Case(fitted),
    "get.perturbable_genes": Case(fitted),
    "get.perturbation_scores": Case(fitted),
    "get.subnetwork": Case(fitted, (str(prior["source"].iloc[0]),)),
    "get.model": Case(fitted),
    "get.selected_genes": Case(sbnn),
}
# Read what `cross_validate_sbnn` and `stability` keep: their tables are those of the round trips of these two.
KEEPING = {"tl.sparsity_path", "tl.cross_validate_sbnn", "tl.stability"}
AFTER = {"get.feature_scores": "tl.cross_validate_sbnn", "get.gene_selection": "tl.stability"}

KEPT = {name: Case(evaluated) for name in AFTER}

# Functions that draw; `DRAWN_FROM_TABLES` take no AnnData.
DRAWING: dict[str, Case] = {
    "pl.history": Case(fresh(_trained)),
    "pl.embedding": Case(drawn, ("trajectory",)),
    "pl.velocity": Case(drawn, (), {"kind": "grid"}),
    "pl.effects": Case(drawn),
    "pl.coregulation": Case(drawn),
    "pl.masks": Case(drawn),
    "pl.trends": Case(drawn, ([str(prior["target"].iloc[0])],)),
    "pl.network": Case(drawn),
    "pl.heatmap": Case(drawn),
    "pl.phase": Case(drawn, ([str(prior["source"].iloc[0]), str(prior["target"].iloc[0])],)),
    "pl.influence": Case(drawn),
    "pl.pathways": Case(drawn),
    "pl.perturbation_scores": Case(drawn),
    "pl.perturbation_shift": Case(drawn),
    "pl.knockout_trends": Case(fresh(_knocked_out)),
    "pl.knockout_volcano": Case(fresh(_knocked_out)),
    "pl.networks": Case(drawn, (["dynamics"],)),
    "pl.perturbation": Case(screen_fit, (_predicted,)),
    "pl.modules": Case(modules),
    "pl.sbnn": Case(sbnn, (), {"genes": 2, "features": 2}),
    "pl.training": Case(sbnn),
    "pl.feature_scores": Case(evaluated),
    "pl.gene_selection": Case(evaluated),
    "pl.sparsity_path": Case(fresh(_path)),
}
# need CellRank, which is not among the test dependencies: tests/biology/test_fates.py holds what the cases hold
NEED_CELLRANK = {"tl.perturbation_fates", "pl.perturbation_fates"}
DRAWN_FROM_TABLES = {"pl.benchmark", "pl.lambdas"}
ON_ARRAYS = {"pl.project_velocity"}  # the projection behind pl.velocity, for those who draw it themselves

# Figures of a network that can be read from AnnData.
MEASURING: dict[str, Case] = {
    "metrics.sparsity": Case(fitted),
    "metrics.density": Case(fitted),
    "metrics.out_degree": Case(fitted),
    "metrics.degree_matched_non_edges": Case(fitted),
    "metrics.auprc": Case(fitted, (prior,)),
    "metrics.balanced_accuracy": Case(fitted, (prior,)),
    "metrics.confusion": Case(fitted, (prior,)),
    "metrics.f1": Case(fitted, (prior,)),
    "metrics.grn_report": Case(fitted, (prior,)),
    "metrics.hypergeometric_p": Case(fitted, (prior,)),
    "metrics.recall_at_density": Case(fitted, (prior, 0.1)),
    "metrics.top_k_precision": Case(fitted, (prior, 5)),
    "metrics.evidence_auc": Case(fitted, (prior,)),
}


def public(name: str) -> Callable[..., Any]:
    """Return the function called `name`, such as "tl.fit_dynamics"."""
    module, function = name.split(".")
    return getattr(getattr(scdash, module), function)
