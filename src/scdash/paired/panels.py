"""The two ways to choose a panel of genes, as values that fit any folds at any strength of their penalty."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scdash._core.errors import check_arguments, check_choice
from scdash._core.parallel import spread_all
from scdash.paired.evaluation import check_sizes, warn_if_unsettled
from scdash.paired.group_elastic import Penalty
from scdash.paired.linear_fit import as_network, check_alpha, regression_of
from scdash.paired.reading import Paired
from scdash.paired.result import BottleneckFit
from scdash.paired.schedule import LASSO, BottleneckTraining, training_of
from scdash.paired.stacks import fit_networks
from scdash.paired.standardize import Standardize
from scdash.resampling.folds import Fold

PanelModel: TypeAlias = Literal["sbnn", "srrr"]
MODELS = ("sbnn", "srrr")
COMMON = ("n_features", "standardize", "progress")
OF_NETWORKS = ("n_latent", "training", "device")
OF_REGRESSIONS = ("rank", "lam", "alpha", "relaxed")
STRENGTHS = 20  # of a path over the penalty of a regression
WEAKEST = 0.05  # of them, as a fraction of the smallest that selects no gene
LASSO_FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)  # strengths of a path over the group lasso of networks


class Panel(Protocol):
    """A method that selects genes and predicts features from them."""

    def config(self, n_train: int) -> dict[str, Any]:
        """Return its settings on `n_train` cells as h5ad can hold them."""

    def check(self, data: Paired, n_train: int) -> None:
        """Raise unless it fits the data."""

    def only_genes(self) -> "Panel":
        """Return the method for when only the genes are asked for."""

    def strengths(self, data: Paired, folds: Sequence[Fold]) -> NDArray[np.float64]:
        """Return the strengths of its penalty that a path goes through by default."""

    def fit(
        self, data: Paired, folds: Sequence[Fold], seed: int, strengths: Sequence[float] | None = None
    ) -> list[list[BottleneckFit]]:
        """Return one list of fits, one a fold, for every strength; None: one list, at its own settings."""


@dataclass(frozen=True)
class NetworkPanel:
    """Sparse bottleneck networks: every strength of the group lasso ends with `n_features` genes."""

    n_latent: int = 2
    n_features: int = 25
    training: BottleneckTraining | None = None
    standardize: Standardize = "train"
    device: str = "auto"
    progress: bool | None = None

    @property
    def schedule(self) -> BottleneckTraining:
        """The constants of the training."""
        return training_of(self.training)

    def config(self, n_train: int) -> dict[str, Any]:
        """Return the settings on `n_train` cells as h5ad can hold them."""
        schedule = self.schedule.for_cells(n_train).config()
        return {"n_latent": self.n_latent, "n_features": self.n_features, "schedule": schedule}

    def check(self, data: Paired, n_train: int) -> None:
        """Raise unless the network fits the data."""
        check_sizes(data, self.n_latent, self.n_features, self.schedule.n_clusters, n_train, self.standardize)

    def strengths(self, data: Paired, folds: Sequence[Fold]) -> NDArray[np.float64]:
        """Return strengths of the group lasso around that of the schedule."""
        lasso = self.schedule.for_cells(max(len(fold.train) for fold in folds)).lasso
        return (lasso or LASSO) * np.array(LASSO_FACTORS)

    def only_genes(self) -> "NetworkPanel":
        """Return the method for when only the genes are asked for, which tuning after pruning cannot change."""
        return replace(self, training=replace(self.schedule, tuning_epochs=1))

    def fit(
        self, data: Paired, folds: Sequence[Fold], seed: int, strengths: Sequence[float] | None = None
    ) -> list[list[BottleneckFit]]:
        """Train one network a fold, all folds of a strength as one stack, from the same weights at every strength."""
        lassos = [self.schedule.lasso] if strengths is None else [float(strength) for strength in strengths]
        return [
            fit_networks(
                data.matrix,
                data.features_matrix,
                folds,
                n_latent=self.n_latent,
                n_features=self.n_features,
                schedule=replace(self.schedule, lasso=lasso),
                standardize=self.standardize,
                autoencoder=False,
                rng=seed,
                device=self.device,
                progress=self.progress,
                description=f"sBNN, {len(folds)} fits" + ("" if lasso is None else f", lasso {lasso:.3g}"),
            )
            for lasso in lassos
        ]


@dataclass(frozen=True)
class RegressionPanel:
    """Sparse reduced-rank regressions: the strength of the penalty decides how many genes are selected."""

    rank: int = 2
    n_features: int = 25
    lam: float | None = None
    alpha: float = 1.0
    relaxed: bool = True
    standardize: Standardize = "train"
    progress: bool | None = None

    def config(self, n_train: int) -> dict[str, Any]:
        """Return the settings as h5ad can hold them."""
        names = ("rank", "n_features", "lam", "alpha", "relaxed")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def check(self, data: Paired, n_train: int) -> None:
        """Raise unless the regression fits the data."""
        check_alpha(self.alpha, self.lam)
        if self.alpha == 0:
            raise ValueError("alpha=0 is a ridge regression, which keeps all genes: choose alpha above 0.")
        check_sizes(data, self.rank, self.n_features, 1, n_train, self.standardize)

    def only_genes(self) -> "RegressionPanel":
        """Return the method for when only the genes are asked for: the relaxed fit has the same ones."""
        return replace(self, relaxed=False)

    def strengths(self, data: Paired, folds: Sequence[Fold]) -> NDArray[np.float64]:
        """Return strengths of lambda, from few genes to many, the same for all folds, in equal steps of its logarithm."""
        problem, *_ = regression_of(data.matrix, data.features_matrix, folds[0], self.standardize)
        most = problem.strongest(self.rank, self.alpha)
        return most * np.geomspace(WEAKEST, 0.9, STRENGTHS)

    def fit(
        self, data: Paired, folds: Sequence[Fold], seed: int, strengths: Sequence[float] | None = None
    ) -> list[list[BottleneckFit]]:
        """Fit every fold at all strengths, from the strongest down, each from the one before; `seed` plays no part."""
        fits = spread_all(
            partial(_path_of_fold, data, self, strengths), [(fold,) for fold in folds], "sRRR", progress=self.progress
        )
        warn_if_unsettled([fit.settled for own in fits for fit in own])
        empty = [own for own in fits if not len(own[0].selected)]
        if strengths is None and empty:
            raise ValueError(
                f"lam={self.lam:g} selects no gene in {len(empty)} of {len(fits)} fits; lower it, or pass n_features instead."
            )
        return [list(same) for same in zip(*fits, strict=True)]


def _path_of_fold(
    data: Paired, panel: RegressionPanel, strengths: Sequence[float] | None, fold: Fold
) -> list[BottleneckFit]:
    problem, _, scales = regression_of(data.matrix, data.features_matrix, fold, panel.standardize)
    if strengths is None and panel.lam is not None:
        strengths = [panel.lam]
    if strengths is None:
        found = problem.fit_to_size(panel.rank, panel.n_features, alpha=panel.alpha, relaxed=panel.relaxed)
        return [as_network(found, fold, *scales)]
    fits: dict[float, BottleneckFit] = {}
    start = None
    for lam in sorted(set(strengths), reverse=True):
        unrelaxed = problem.fit(panel.rank, Penalty(lam, panel.alpha), relaxed=False, start=start)
        start = unrelaxed if len(unrelaxed.selected) else None
        fits[lam] = as_network(problem.relax(unrelaxed) if panel.relaxed else unrelaxed, fold, *scales)
    return [fits[lam] for lam in strengths]


def panel_of(
    function: str, model: str, options: dict[str, Any], *, fixed: Iterable[str] = (), penalised: bool = False
) -> Panel:
    """Return the method that `options` describe, or raise for one that the model does not have.

    `function`: the public function that was called, for messages. `model`: "sbnn" or "srrr". `options`: arguments of
    `scdash.tl.sbnn` or `scdash.tl.srrr`. `fixed`: names that the function knows besides, for near matches.
    `penalised`: the function sets the strength of the penalty itself: of a regression `lam` and `n_features`, which it
    follows from, are refused.
    """
    check_choice("model", model, MODELS)
    known = [*COMMON, *(OF_NETWORKS if model == "sbnn" else OF_REGRESSIONS)]
    if penalised and model == "srrr":
        known = [name for name in known if name not in ("lam", "n_features")]
    check_arguments(f"{function} of model={model!r}", options, [*fixed, *known])
    if model == "sbnn":
        return NetworkPanel(**options)
    if penalised:  # a path has no number of genes that could be too large
        options = {"n_features": 1, **options}
    return RegressionPanel(**options)
