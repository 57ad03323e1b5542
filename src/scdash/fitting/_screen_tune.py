"""ODE fine-tuning of a matched screen network, kept only if regimes that it has not seen are predicted better."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from scdash._decisions import CLEAR, Difference
from scdash._logging import logger
from scdash.fields._base import Params
from scdash.fields._perturbode import SLOWEST, PerturbODE
from scdash.matching._equilibria import build_problem
from scdash.matching._equilibrium_fit import EquilibriumFit, refit
from scdash.matching._held_out import PERFECT, fill_unseen, intervention_effects
from scdash.matching._regimes import Floats, RegimeStatistics
from scdash.matching._steady_states import Equilibrium
from scdash.sparsity import Prior, Sparsity
from scdash.training._fine_tune import TuneConfig, TuneData, TuneResult, fine_tune


@dataclass(frozen=True)
class TunedScreen:
    """The fit that is kept, and what fine-tuning brought on held-out regimes."""

    fit: EquilibriumFit
    table: pd.DataFrame  # step, train_loss, held_out_error (relative to the start's)
    kept: bool
    report: str


def tune_equilibrium(
    stats: RegimeStatistics,
    fit: EquilibriumFit,
    config: TuneConfig,
    *,
    penalty: Floats | None = None,
    allowed: NDArray[np.bool_] | None = None,
    sparsity: Sparsity,
    prior: Prior | None,
    rng: np.random.Generator,
    progress: bool | None = None,
) -> TunedScreen:
    """Fine-tune the network of all regimes beside one a fold, in one stack; the folds say whether and how long it helps.

    Every fold's network is matched on its own regimes at the chosen setting. The number of steps with the lowest error
    over held-out regimes is kept if that error is lower than the start's by more than two standard errors.
    """
    folds = range(int(stats.fold.max()) + 1)
    if len(folds) < 2:
        raise ValueError("fine_tune needs held-out regimes to judge by; there are too few regimes for two folds.")
    used = np.stack([stats.fold != k for k in folds] + [np.ones(len(stats.fold), bool)])
    models = [refit(stats, rows, fit, penalty=penalty, allowed=allowed) for rows in used[:-1]] + [fit.model]
    data = _data(stats, models, used, fit)
    field = PerturbODE(len(stats.centre), 0)
    start = stacked(models, stats.centre)
    found = fine_tune(field, start, data, config, sparsity=sparsity, prior=prior, rng=rng, progress=progress)
    best, kept, table, report = _verdict(found, config)
    logger.info("    %s", report)
    if not kept:
        return TunedScreen(fit, table, kept, report)
    return TunedScreen(replace(fit, model=_equations(found.rounds[best], fit.model, stats)), table, kept, report)


def stacked(models: Sequence[Equilibrium], centre: Floats) -> Params:
    """Return the weights of gene-wise `PerturbODE`s with w = 1 whose steady states are those of the equations.

    sigmoid - 1/2 is the feature of the equations, so half of each row of A goes to the bias.
    """
    slope = [1.0 if model.slope is None else model.slope for model in models]
    a = torch.as_tensor(np.stack([model.weights.T for model in models]), dtype=torch.float32)
    constant = torch.as_tensor(np.stack([model.constant for model in models]), dtype=torch.float32)
    middle = torch.as_tensor(centre, dtype=torch.float32)
    one = float(np.log(np.expm1(1.0 - SLOWEST)))  # softplus(one) + SLOWEST = 1
    return {
        "A": a,
        "raw_alpha": torch.tensor(np.log(np.expm1(slope)), dtype=torch.float32)[:, None].expand(a.shape[:2]).clone(),
        "raw_beta": middle.expand(a.shape[:2]).clone(),
        "raw_w": torch.full(a.shape[:2], one),
        "bias": middle + constant - 0.5 * a.sum(2),
    }


def _equations(params: Params, before: Equilibrium, stats: RegimeStatistics) -> Equilibrium:
    """Undo `stacked` for the last model; effects of imperfect interventions are those of the tuned equations."""
    a = params["A"][-1].double().numpy()
    constant = params["bias"][-1].double().numpy() - stats.centre + 0.5 * a.sum(axis=1)
    effect = intervention_effects(stats, np.ones(len(stats.counts), bool), a.T, constant)
    return Equilibrium(a.T, constant, effect, before.slope, before.untried)


def _data(
    stats: RegimeStatistics, models: Sequence[Equilibrium], used: NDArray[np.bool_], fit: EquilibriumFit
) -> TuneData:
    screen = stats.screen
    problem = build_problem(stats, np.ones(screen.n_regimes, bool), fit.settings.trust)
    sd = np.where(np.isfinite(problem.scale_y), problem.scale_y, 1.0)
    unit = np.where(np.isfinite(problem.scale_f), problem.scale_f, 0.0)[:, None] / sd[None, :]
    weight = fit.lam * unit
    if fit.settings.mcp:  # its slope where the path ended: what is large is not shrunken any more
        weight = unit * np.maximum(fit.lam - np.abs(fit.standardised) / fit.settings.mcp, 0)
    perfect = np.isin(screen.kinds, PERFECT)[:, None]
    mask = np.where(screen.targets & perfect, 0.0, 1.0)
    told = np.stack([_shift(stats, model, perfect) for model in models])
    seen = np.where(screen.targets & perfect, stats.y + stats.centre, told)
    return TuneData(
        control=_float32(stats.centre),
        observed=_float32(stats.y + stats.centre),
        free=torch.as_tensor(stats.free),
        mask=_float32(mask),
        seen_shift=_float32(seen),
        told_shift=_float32(told),
        used=torch.as_tensor(used),
        sd=_float32(sd),
        penalty=_float32(weight.T),
    )


def _float32(values: Floats) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32)


def _shift(stats: RegimeStatistics, model: Equilibrium, perfect: NDArray[np.bool_]) -> Floats:
    """Return u (regimes, genes) of a model that knows the strengths from its own regimes only."""
    shift = np.zeros(stats.y.shape)
    for r, kind in enumerate(stats.screen.kinds):
        effect = fill_unseen(model.effect, kind, stats.silent)
        shift[r] = np.where(stats.screen.targets[r], effect + (stats.centre if perfect[r] else 0), 0)
    return shift


def _verdict(found: TuneResult, config: TuneConfig) -> tuple[int, bool, pd.DataFrame, str]:
    """Return the best round, whether it is kept, the course of the errors, and the finding in words."""
    errors = np.nansum(found.held_out, axis=1)[:, 1:]  # (rounds, regimes): each is held out of one model
    total = errors.sum(axis=1)
    best = int(total.argmin())
    gain = Difference.of(errors[0] - errors[best])
    kept = best > 0 and gain.clearly_positive
    steps = np.minimum(np.arange(len(total)) * config.every, config.steps)
    table = pd.DataFrame({"step": steps, "train_loss": found.train, "held_out_error": total / total[0]})
    before = max(float(errors[0].mean()), 1e-300)
    report = (
        f"ODE fine-tuning changed the squared error of held-out regimes by {-gain.mean / before:+.1%} at "
        f"{steps[best]} steps (two standard errors {CLEAR * gain.error / before:.1%}): {'kept' if kept else 'not kept'}."
    )
    return best, kept, table, report
