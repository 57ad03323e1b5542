"""Draw one figure for every function of `scdash.pl`, from small fits; run by `plot_figures` at build time.

`python docs/_ext/draw_plots.py --overview docs/_static/overview.png` draws the picture of the README anew.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc

import scdash
from scdash import pl

QUICK = {
    "training": scdash.BottleneckTraining(
        hidden=(32, 16), n_clusters=6, pretrain_epochs=10, frozen_epochs=10, unfrozen_epochs=20,
        tuning_epochs=20, autoencoder_epochs=10, pretrain_rate=1e-3, frozen_rate=1e-3, unfrozen_rate=2e-3,
        tuning_rate=1e-3, autoencoder_rate=1e-3,
    )
}  # fmt: skip


def myoblasts() -> Any:
    """Return myoblasts with principal components and a fit of three models."""
    adata = scdash.datasets.hsmm()
    prior = scdash.datasets.myogenic_prior()
    keep = adata.var["is_tf"] | adata.var_names.isin([*prior["source"], *prior["target"]])
    keep |= np.arange(adata.n_vars) % 8 == 0  # a small model: every eighth of the other genes
    adata = adata[:, keep].copy()
    scdash.pp.order_cells(adata, root=("hours", 0))
    sc.pp.pca(adata)
    scdash.tl.fit_dynamics(adata, prior=prior, regulators="is_tf", n_models=3, progress=False)
    return adata


def cells() -> Any:
    """Return myoblasts with every result that plots of dynamics read."""
    adata = myoblasts()
    sc.pp.neighbors(adata)
    sc.tl.umap(adata)
    scdash.tl.fit_dynamics(
        adata, regulators="is_tf", key_added="no_prior", progress=False, training=scdash.Training(max_epochs=0)
    )
    scdash.tl.gene_influence(adata, n_starts=20, progress=False)
    scdash.tl.pathways(adata, scdash.datasets.gene_sets("go_bp"))
    scdash.tl.perturbation_scores(adata)
    scdash.tl.perturbation_shift(adata, "MYOG")
    order = adata.obs_names[np.argsort(adata.obs["dpt_pseudotime"].to_numpy())]
    ends = {"myoblasts": order[:20], "myotubes": order[-20:]}
    adata.obs["harvested"] = adata.obs["hours"].map("{:g} h".format).astype("category")
    scdash.tl.perturbation_fates(adata, "MYOG", terminal_states=ends, groupby="harvested")
    return adata


def paired() -> Any:
    """Return paired modalities with every result that their plots read."""
    mdata = scdash.simulate.paired(n_cells=300, n_genes=60, n_features=6, n_informative=6, rng=1)
    scdash.pp.normalize_paired(mdata)
    scdash.tl.sbnn(mdata, n_features=6, progress=False, **QUICK)
    scdash.tl.cross_validate_sbnn(mdata, n_features=6, folds=3, progress=False, **QUICK)
    scdash.tl.stability(mdata, n_features=10, n_repeats=6, progress=False, **QUICK)  # more than are informative
    return mdata


def screen() -> Any:
    """Return a simulated screen with a fit and its modules."""
    single = [f"G{i:03d}" for i in range(30)]
    adata = scdash.simulate.sergio(
        genes=40, n_edges=80, perturbations=single, cells_per_perturbation=60, half_response="mid", rng=0
    )
    sc.pp.log1p(adata)
    scdash.tl.fit_perturbode(adata, mask_var=None)
    scdash.tl.modules(adata, n_modules=8)
    return adata


def benchmark() -> pd.DataFrame:
    """Return errors of the predictors that a report names, as a table of a benchmark."""
    course = scdash.simulate.grn_dynamics(n_genes=30, n_trajectories=30, rng=0)
    rows = []
    for seed in range(3):
        scdash.tl.fit_dynamics(course, prior=course.uns["prior"], time_key="time", trajectory_key="trajectory", split_key="split", rng=seed, progress=False, training=scdash.Training(max_epochs=0))  # fmt: skip
        for row in scdash.get.report(course).itertuples():
            ours = row.Index == 0
            rows.append((row.predictor, "test MSE", row.test_mse, "ours" if ours else "baseline"))
            rows.append((row.predictor, "rollout MSE", row.rollout_mse, "ours" if ours else "baseline"))
    table = pd.DataFrame(rows, columns=["method", "metric", "value", "source"])
    return (
        table.groupby(["method", "metric", "source"], sort=False)["value"].agg(value="mean", spread="std").reset_index()
    )


def lambda_grid() -> pd.DataFrame:
    """Return a cross-validated grid of prior weights."""
    course = scdash.simulate.grn_dynamics(n_genes=20, n_trajectories=24, rng=0)
    return scdash.tl.cross_validate(course, prior=course.uns["prior"], time_key="time", trajectory_key="trajectory", split_key="split", start="random", n_folds=3, grid=[(a, b) for a in (0.05, 0.5) for b in (0.05, 0.5, 0.95)], progress=False, model=scdash.models.Phoenix(encoder="modules", n_hidden=8), training=scdash.Training(max_epochs=8))  # fmt: skip


def sparsity_path() -> pd.DataFrame:
    """Return held-out loss and sparsity along a path of penalties."""
    course = scdash.simulate.grn_dynamics(n_genes=16, n_trajectories=20, rng=0)
    return scdash.tl.sparsity_path(course, sparsity="group_lasso", lambdas=[0.03, 0.1, 0.3, 1.0, 3.0], time_key="time", trajectory_key="trajectory", split_key="split", progress=False, model=scdash.models.MLP((8,)), training=scdash.Training(max_epochs=25, learning_rate=0.01))  # fmt: skip


def overview(path: Path) -> None:
    """Draw where the cells of the myoblasts go and the strongest edges of the network behind it."""
    scdash.settings.verbosity = 0
    fit = myoblasts()
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2), width_ratios=[1, 1.25], layout="constrained")
    pl.velocity(fit, basis="pca", color="dpt_pseudotime", ax=left)
    left.set_title(f"{fit.n_obs} myoblasts on their way to myotubes", loc="left", fontweight="bold")
    pl.network(fit, n_edges=25, ax=right)
    right.set_title("Strongest edges of the network", loc="left", fontweight="bold")
    figure.savefig(path, dpi=110)


def main(folder: Path) -> None:
    """Draw into `folder`, one PNG a function."""
    scdash.settings.verbosity = 0
    drawn = figures()
    missing = set(pl.__all__) - set(drawn) - {"project_velocity"}
    if missing:
        raise SystemExit(f"draw_plots.py draws nothing for {sorted(missing)}")
    for name, make in drawn.items():
        figure = make()
        figure.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight")
        plt.close(figure)


def figures() -> dict[str, Callable[[], Any]]:
    """Return what draws each figure."""
    fit, pair, knock = cells(), paired(), screen()
    muscle = ["MYOG", "MEF2C", "MYH3", "CDK1"]
    held = {"show": False, "return_fig": True}
    perturbations = [
        str(label) for label in knock.uns["dynamics"]["screen"]["perturbations"] if str(label) != "control"
    ][:6]
    table = lambda_grid()
    return {
        "benchmark": lambda: pl.benchmark(benchmark(), **held),
        "coregulation": lambda: pl.coregulation(fit, n_top=40, **held),
        "effects": lambda: pl.effects(fit, n_top=40, **held),
        "embedding": lambda: pl.embedding(fit, ["dpt_pseudotime", "hours"], **held),
        "feature_scores": lambda: pl.feature_scores(pair, **held),
        "gene_selection": lambda: pl.gene_selection(pair, **held),
        "heatmap": lambda: pl.heatmap(fit, **held),
        "history": lambda: pl.history(fit, **held),
        "influence": lambda: pl.influence(fit, **held),
        "knockout_trends": lambda: pl.knockout_trends(scdash.tl.perturb(fit, "MYOG"), **held),
        "knockout_volcano": lambda: pl.knockout_volcano(scdash.tl.perturb(fit, "MYOG"), **held),
        "lambdas": lambda: pl.lambdas(table, **held),
        "masks": lambda: pl.masks(fit, **held),
        "modules": lambda: pl.modules(knock, **held),
        "network": lambda: pl.network(fit, **held),
        "networks": lambda: pl.networks(fit, ["dynamics", "no_prior"], **held),
        "pathways": lambda: pl.pathways(fit, **held),
        "perturbation": lambda: pl.perturbation(knock, scdash.tl.predict_perturbations(knock, perturbations), **held),
        "perturbation_fates": lambda: pl.perturbation_fates(fit, **held),
        "perturbation_scores": lambda: pl.perturbation_scores(fit, **held),
        "perturbation_shift": lambda: pl.perturbation_shift(fit, "dpt_pseudotime", **held),
        "phase": lambda: pl.phase(fit, ["MYOG", "MYH3"], color="dpt_pseudotime", **held),
        "sbnn": lambda: pl.sbnn(pair, "cell_type", genes=4, features=4, **held),
        "sparsity_path": lambda: pl.sparsity_path(sparsity_path(), **held),
        "training": lambda: pl.training(pair, **held),
        "trends": lambda: pl.trends(fit, muscle, **held),
        "velocity": lambda: pl.velocity(fit, color="dpt_pseudotime", **held),
    }


if __name__ == "__main__":
    (overview if sys.argv[1] == "--overview" else main)(Path(sys.argv[-1]))
