"""Edges: equilibrium matching, transport and the baselines, by method and seed."""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp
import torch

from benchmarks._perturbode_data import Row, average_precision, noisy_prior, sign_aware, timed
from scdash._data._screen import Screen
from scdash.fitting._screen_sparsity import TRANSPORT, TUNING, ScreenSparsity
from scdash.fitting._screen_tune import tune_equilibrium
from scdash.matching._equilibrium_fit import fit_equilibrium
from scdash.matching._notears import notears, notears_low_rank, screen_moments
from scdash.matching._regimes import assign_folds, regime_statistics
from scdash.matching._screen_baselines import correlation, differential_expression, forest, masked_lasso, masked_ridge
from scdash.training._fine_tune import TuneConfig
from scdash.training._transport import fit_transport
from scdash.training._transport_config import TransportConfig

Score = Callable[[], tuple[np.ndarray, str]]


def _row(name: str, truth: np.ndarray, method: str, seed: int, run: Score) -> Row:
    (score, note), cpu, wall = timed(run)
    return {
        "data": name,
        "method": method,
        "seed": seed,
        "auprc_signed": average_precision(score, truth),
        "auprc_absolute": average_precision(np.abs(score), truth),
        "auprc_sign_aware": sign_aware(score, truth),
        "prevalence": float((truth != 0).sum() / (truth.size - len(truth))),
        "cpu_s": cpu,
        "wall_s": wall,
        "note": note,
    }


def matching_rows(name: str, x: np.ndarray, screen: Screen, truth: np.ndarray, seeds: int) -> Iterator[Row]:
    """Yield equilibrium matching with other folds for every seed, with and without what refines it."""
    for seed in range(seeds):
        fold = assign_folds(screen.n_regimes, 5, np.random.default_rng(seed))
        for refine in (True, False):

            def run(*, refine: bool = refine, fold: np.ndarray = fold) -> tuple[np.ndarray, str]:
                fit = fit_equilibrium(regime_statistics(x, screen, fold), refine=refine)
                s = fit.settings
                return (
                    fit.score,
                    f"trust {s.trust} activating {s.nonnegative} hubs {s.hubs} mcp {s.mcp} lambda {fit.lam:.3f}",
                )

            yield _row(name, truth, "equilibrium matching" + ("" if refine else ", plain lasso"), seed, run)


def tuning_rows(name: str, x: np.ndarray, screen: Screen, truth: np.ndarray, seeds: int) -> Iterator[Row]:
    """Yield the weights before and after ODE fine-tuning, with and without DASH on a prior with 20 % moved edges."""
    for seed in range(seeds):
        stats = regime_statistics(x, screen, assign_folds(screen.n_regimes, 5, np.random.default_rng(seed)))
        prior = noisy_prior(truth, 0.2, seed)
        penalty = np.where(prior != 0, 1 / 5, 1.0)
        plain, helped = fit_equilibrium(stats), fit_equilibrium(stats, penalty=penalty)
        yield _row(name, truth, "prior, 20 % moved", seed, lambda prior=prior: (prior, ""))
        yield _row(name, truth, "matching with that prior", seed, lambda fit=helped: (fit.score, "path score"))
        for label, fit, given in (("", plain, None), (" with DASH and that prior", helped, prior)):
            yield _row(name, truth, f"matched weights{label and ' with that prior'}", seed, lambda fit=fit: (fit.model.weights, ""))  # fmt: skip

            def run(fit=fit, given=given, stats=stats, seed=seed, penalty=penalty) -> tuple[np.ndarray, str]:
                known = None if given is None else sp.csr_matrix(given)
                method, p = ScreenSparsity().build(known, TUNING)
                tuned = tune_equilibrium(
                    stats,
                    fit,
                    TuneConfig(),
                    penalty=None if given is None else penalty,
                    sparsity=method,
                    prior=p,
                    rng=np.random.default_rng(seed),
                )
                return tuned.fit.model.weights, tuned.report

            yield _row(name, truth, f"weights fine-tuned as an ODE{label}", seed, run)


def transport_rows(
    name: str, x: np.ndarray, screen: Screen, truth: np.ndarray, seeds: int, chosen: list[str] | None = None
) -> Iterator[Row]:
    """Yield the paper's way of training at its objective and ours, and under DASH with a prior."""
    ways = {
        "transport, mean loss": ({}, False),
        "transport, W2": ({"loss": "w2", "steps": 1500}, False),
        "transport, gene-wise": ({"n_modules": 0}, False),
        "transport, DASH, prior 20 % moved": ({}, True),
        "transport, gene-wise, DASH, prior 20 % moved": ({"n_modules": 0}, True),
    }
    for seed in range(seeds):
        prior = sp.csr_matrix(noisy_prior(truth, 0.2, seed))
        for label, (settings, dash) in ways.items():
            if chosen is not None and label not in chosen:
                continue

            def run(settings=settings, dash=dash, prior=prior, seed=seed) -> tuple[np.ndarray, str]:
                method, p = ScreenSparsity().build(prior if dash else None, TRANSPORT)
                config = TransportConfig(**settings)
                fit = fit_transport(x, screen, config, rng=np.random.default_rng(seed), sparsity=method, prior=p)
                with torch.no_grad():
                    network = fit.field.network(fit.params)[0].numpy().T.astype(float)
                sd = x.std(axis=0)
                score = network * sd[:, None] / np.where(sd > 0, sd, np.inf)
                np.fill_diagonal(score, 0)
                h = fit.history
                return score, (
                    f"steps {int(h['epoch'].iloc[-1])}; validation loss {h['validation_loss'].iloc[0]:.3g} to "
                    f"{h['validation_loss'].iloc[-1]:.3g}; density {(network != 0).mean():.2f}"
                )

            yield _row(name, truth, label, seed, run)


def baseline_rows(
    name: str, x: np.ndarray, screen: Screen, truth: np.ndarray, seeds: int, *, slow: bool
) -> Iterator[Row]:
    """Yield what a user would run instead."""
    linear = regime_statistics(x, screen, assign_folds(screen.n_regimes, 5, np.random.default_rng(0)), slope=None)
    row = lambda method, seed, run, note="": _row(name, truth, method, seed, lambda: (run(), note))
    yield row("masked ridge", 0, lambda: masked_ridge(x, screen)[0])
    yield row("masked lasso", 0, lambda: masked_lasso(linear).score, "linear features, trust .1, activating")
    yield row("differential expression", 0, lambda: differential_expression(linear))
    yield row("absolute correlation", 0, lambda: np.abs(correlation(x, screen)))
    if slow:
        gram, cross = screen_moments(linear)
        for lam in (0.01, 0.05, 0.1):
            yield row(f"NO-TEARS, lambda {lam}", 0, lambda lam=lam: notears(gram, cross, lam=lam))
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            yield row("NO-TEARS-LR", seed, lambda rng=rng: notears_low_rank(gram, cross, rng=rng), "rank 10")
        for seed in range(seeds):
            yield row(
                "forest",
                seed,
                lambda seed=seed: forest(x, screen, n_trees=30, max_cells=600, rng=seed),
                "30 trees, 600 cells a gene, no sign",
            )
