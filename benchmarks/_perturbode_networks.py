"""Edges: equilibrium matching, transport and the baselines, by method and seed."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from benchmarks._perturbode_data import Row, Source, average_precision, noisy_prior, sign_aware, timed
from benchmarks._perturbode_jobs import Job
from scdash.models import PerturbODE
from scdash.screens.baselines.network_scores import (
    correlation,
    differential_expression,
    forest,
    masked_lasso,
    masked_ridge,
)
from scdash.screens.baselines.notears import notears, notears_low_rank, screen_moments
from scdash.screens.equilibrium.fit import EquilibriumFit, fit_equilibrium
from scdash.screens.evidence import without_noise
from scdash.screens.fits import penalties
from scdash.screens.statistics import PerturbationStatistics, assign_folds, perturbation_statistics
from scdash.screens.transport.fit import fit_transport
from scdash.screens.transport.pruning import TRANSPORT, ScreenSparsity
from scdash.training.transport_config import TransportConfig

Score = Callable[[], tuple[np.ndarray, Row]]  # (regulator, target), and other columns of the row
TRANSPORTS: dict[str, tuple[dict[str, Any], bool]] = {  # settings, and whether DASH prunes with the prior
    "transport, mean loss": ({}, False),
    "transport, W2": ({"loss": "w2", "steps": 1500, "cycle": 1500}, False),
    "transport, gene-wise": ({"n_modules": 0}, False),
    "transport, DASH, prior 20 % moved": ({}, True),
    "transport, gene-wise, DASH, prior 20 % moved": ({"n_modules": 0}, True),
}


def _job(name: str, source: Source, method: str, seed: int, score: Score) -> Job:
    def run() -> Row:
        truth = source()[2]  # reading is not timed
        (found, more), cpu, wall = timed(score)
        return {
            "auprc_signed": average_precision(found, truth),
            "auprc_absolute": average_precision(np.abs(found), truth),
            "auprc_sign_aware": sign_aware(found, truth),
            "prevalence": float((truth != 0).sum() / (truth.size - len(truth))),
            "cpu_s": cpu,
            "wall_s": wall,
            "note": "",
        } | more

    return Job("networks", {"data": name, "method": method, "seed": seed}, run)


def default_fit(
    stats: PerturbationStatistics, prior: np.ndarray | None = None, *, refine: bool = True
) -> EquilibriumFit:
    """Return the fit that `tl.fit_perturbode` makes of these statistics, with a prior (regulator, target) where it is given."""
    quiet = without_noise(stats)
    given = penalties(quiet, None if prior is None else sp.csr_matrix(prior), PerturbODE().weight, None)
    return fit_equilibrium(quiet, given, refine=refine)


def statistics_of(source: Source, seed: int, slope: float | None = 1.0) -> PerturbationStatistics:
    """Return the statistics of a screen with folds of this seed; slope None: of linear features."""
    x, screen, _ = source()
    return perturbation_statistics(x, screen, assign_folds(screen, 5, np.random.default_rng(seed)), slope=slope)


def matching_jobs(name: str, source: Source, seeds: int) -> Iterator[Job]:
    """Yield equilibrium matching with other folds for every seed, with and without what refines it."""
    for seed in range(seeds):
        for refine in (True, False):

            def score(*, refine: bool = refine, seed: int = seed) -> tuple[np.ndarray, Row]:
                fit = default_fit(statistics_of(source, seed), refine=refine)
                s = fit.settings
                note = f"covariation {s.covariation} activating {s.nonnegative} hubs {s.hubs} mcp {s.mcp} lambda {fit.lam:.3f}"
                return fit.score, {"note": note}

            yield _job(name, source, "equilibrium matching" + ("" if refine else ", plain lasso"), seed, score)


def prior_jobs(name: str, source: Source, seeds: int) -> Iterator[Job]:
    """Yield a prior with 20 % moved edges, and the network that is fitted with it."""
    for seed in range(seeds):
        prior = cache(lambda seed=seed: noisy_prior(source()[2], 0.2, seed))

        def fitted(seed: int = seed, prior=prior) -> tuple[np.ndarray, Row]:
            return default_fit(statistics_of(source, seed), prior()).score, {"note": "ranking score"}

        yield _job(name, source, "prior, 20 % moved", seed, lambda prior=prior: (prior(), {}))
        yield _job(name, source, "matching with that prior", seed, fitted)


def transport_network(source: Source, seed: int, *, dash: bool = False, **settings: Any) -> tuple[np.ndarray, Row]:
    """Return the network (regulator, target) in SD units of a training by transport, and what is told of it."""
    x, screen, truth = source()
    known = sp.csr_matrix(noisy_prior(truth, 0.2, seed)) if dash else None
    pruning, prior = ScreenSparsity().build(known, TRANSPORT)
    config, rng = TransportConfig(**settings), np.random.default_rng(seed)
    fit = fit_transport(x, screen, config, rng=rng, sparsity=pruning, prior=prior, progress=False)
    with torch.no_grad():
        network = fit.field.network(fit.params)[0].numpy().T.astype(float)
    sd = x.std(axis=0)
    found = network * sd[:, None] / np.where(sd > 0, sd, np.inf)
    np.fill_diagonal(found, 0)
    loss = fit.history["validation_loss"]
    note = (
        f"steps {int(fit.history['epoch'].iloc[-1])}; validation loss {loss.iloc[0]:.3g} to "
        f"{loss.iloc[-1]:.3g}; density {(network != 0).mean():.2f}"
    )
    return found, {"note": note, "loss_ratio": float(loss.iloc[-1] / loss.iloc[0])}


def transport_jobs(name: str, source: Source, seeds: int) -> Iterator[Job]:
    """Yield the paper's way of training at its objective and ours, and under DASH with a prior."""
    for seed in range(seeds):
        for method, (settings, dash) in TRANSPORTS.items():
            score = partial(transport_network, source, seed, dash=dash, **settings)
            yield _job(name, source, method, seed, score)


def baseline_jobs(name: str, source: Source, seeds: int, *, slow: bool) -> Iterator[Job]:
    """Yield what a user would run instead."""

    def job(method: str, run: Callable[[], np.ndarray], seed: int = 0, note: str = "") -> Job:
        return _job(name, source, method, seed, lambda: (run(), {"note": note}))

    linear = cache(lambda: statistics_of(source, 0, None))
    moments = cache(lambda: screen_moments(linear()))
    yield job("masked ridge", lambda: masked_ridge(*source()[:2])[0])
    yield job("masked lasso", lambda: masked_lasso(linear()).score, note="linear features, covariation .1, activating")
    yield job("differential expression", lambda: differential_expression(linear()))
    yield job("absolute correlation", lambda: np.abs(correlation(*source()[:2])))
    if not slow:
        return
    for lam in (0.01, 0.05, 0.1):
        yield job(f"NO-TEARS, lambda {lam}", lambda lam=lam: notears(*moments(), lam=lam))
    for seed in range(seeds):
        yield job(
            "NO-TEARS-LR",
            lambda seed=seed: notears_low_rank(*moments(), rng=np.random.default_rng(seed)),
            seed,
            "rank 10",
        )
    for seed in range(seeds):
        yield job(
            "forest",
            lambda seed=seed: forest(*source()[:2], n_trees=30, max_cells=600, rng=seed),
            seed,
            "30 trees, 600 cells a gene, no sign",
        )
