"""The path over the strength of a penalty: sparse from the start, or trained dense and then made sparse step by step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash._core.parallel import resolve_device
from scdash.dynamics.options import FitOptions, recipe
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.state_pairs.start import make_field, random_start, restrict
from scdash.dynamics.state_pairs.strategy import build_prior, build_sparsity
from scdash.dynamics.state_pairs.train import training_rows, validation_rows
from scdash.fields import Params, VectorField
from scdash.networks import feature_sparsity, spurious_sparsity, weight_sparsity
from scdash.resampling.penalty_choice import with_choice
from scdash.sparsity import Prior, Sparsity, as_sparsity
from scdash.training import Examples, Problem, TrainConfig, evaluate, example_errors, examples_from, start_state, train

Strategy = Literal["start", "warm"]
FACTORS = (0.0, 0.01, 0.1, 1.0, 10.0, 100.0)  # of a method's own strength, where no grid is given


@dataclass(frozen=True)
class PathRun:
    """What all strengths of a path share."""

    field: VectorField
    method: Sparsity
    train: Examples
    held: Examples
    config: TrainConfig
    prior: Prior | None = None
    seed: int = 0
    progress: bool | None = None

    def fit(
        self, lambdas: Sequence[float], params: Params, masks: Params, config: TrainConfig, *, dense: bool = False
    ) -> tuple[Params, Params, Params, Params, int]:
        """Train one stack, `params` repeated for every strength; `dense`: without the method, gates and all.

        Returns the final weights and masks (gates applied), the raw weights (gates apart) and masks to go on from, and
        the number of epochs. Models come from the second half of training: best by validation loss and penalty there,
        because an earlier epoch may predict better while it is not sparse yet.
        """
        each = len(next(iter(params.values())))
        strengths = torch.tensor(list(lambdas), dtype=torch.float64).repeat_interleave(each)
        problem = Problem(
            self.field,
            as_sparsity("none") if dense else scaled(self.method, strengths),
            self.train,
            self.held,
            config,
            self.prior,
            seed=self.seed,
            returnable_from=config.max_epochs // 2,
        )
        state = start_state(problem, _repeat(params, len(lambdas)), _repeat(masks, len(lambdas)))
        shown = ", ".join(f"{value:g}" for value in lambdas)
        found = train(problem, state, progress=self.progress, description=f"lambda {shown}"[:60])
        return found.params, found.masks, state.best_params, state.best_masks, found.epochs


def scaled(method: Sparsity, strength: Tensor) -> Sparsity:
    """Return the method with its last strength (models,) as given, the others in proportion to it, as in its options."""
    own = [torch.as_tensor(value, dtype=torch.float64) for value in method.options["lambdas"]]
    if any(value.ndim for value in own) or float(own[-1]) == 0:
        raise ValueError(
            "lambdas of the method itself set the proportion of its strengths (gates to weights) along a path: they must "
            f"be single numbers, the last one not 0, found {method.options['lambdas']}."
        )
    return method.with_options(lambdas=[strength * float(value / own[-1]) for value in own])


def fit_path(
    problem: FitProblem,
    options: FitOptions,
    *,
    lambdas: Sequence[float] | None = None,
    strategy: Strategy = "start",
    step_epochs: int | None = None,
    transcription_factors: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Fit a model at every strength; see `scdash.tl.sparsity_path` for the table that is returned."""
    plan = recipe(options)
    method = build_sparsity(options, plan)
    if not method.has_strength:
        raise ValueError(
            f"sparsity={method.name!r} has no strength to vary. A path needs a penalty or a proximal step, e.g. 'pathreg'; "
            "for DASH's weight of the prior use `scdash.tl.cross_validate`, for levels of pruning sparsity='posthoc'."
        )
    grid = path_grid(method, lambdas)
    field = method.adapt(make_field(problem, options, []))
    device, config = resolve_device(options.device), plan.config
    examples = [
        examples_from(problem.series, rows(problem.series, config.window)).to(device, torch.float32)
        for rows in (training_rows, validation_rows)
    ]
    known = build_prior(problem, options, [problem.prior])
    prior = None if known is None else known.to(device)
    run = PathRun(field, method, examples[0], examples[1], config, prior, options.seed, options.progress)
    params = {name: value.to(device) for name, value in random_start(field, options).items()}
    masks = {} if problem.regulators is None else restrict(field, params, {}, problem.regulators)
    if strategy == "start":
        fits = [(grid, *run.fit(grid, params, masks, config))]
    else:
        fits = _warm(run, grid, params, masks, step_epochs or max(1, config.max_epochs // 5))
    parts, errors = [], []
    for strengths, final, _, _, _, epochs in fits:
        parts.append(describe(run, strengths, final, transcription_factors).assign(epochs=epochs))
        errors.append(example_errors(field, final, run.held, config).cpu().numpy())
    return with_choice(pd.concat(parts, ignore_index=True), np.concatenate(errors))


def path_grid(method: Sparsity, lambdas: Sequence[float] | None) -> list[float]:
    """Return the strengths in rising order; by default powers of ten around the method's own, and 0."""
    if lambdas is None:
        return [factor * float(method.options["lambdas"][-1]) for factor in FACTORS]
    grid = sorted({float(value) for value in np.ravel(np.asarray(lambdas, dtype=float))})
    if not grid or not np.isfinite(grid).all() or grid[0] < 0:
        raise ValueError(f"lambdas must be non-negative numbers, at least one, found {lambdas!r}.")
    return grid


def _warm(run: PathRun, grid: Sequence[float], params: Params, masks: Params, step_epochs: int) -> list[Any]:
    """Train without the penalty, then raise lambda, each step from the weights of the one before."""
    fits: list[Any] = []
    found = run.fit([0.0], params, masks, run.config, dense=True)
    if grid[0] == 0:
        fits.append(([0.0], *found))
    found[2].update(run.method.opened(run.field, len(next(iter(params.values())))))
    step = replace(run.config, max_epochs=step_epochs)
    for strength in (value for value in grid if value > 0):
        found = run.fit([strength], found[2], found[3], step)
        fits.append(([strength], *found))
    return fits


def describe(
    run: PathRun, strengths: Sequence[float], params: Params, transcription_factors: NDArray[np.bool_] | None
) -> pd.DataFrame:
    """Return a row per strength and model: losses with the gates of evaluation, and fractions of zeros."""
    field, models = run.field, len(next(iter(params.values()))) // len(strengths)
    table = pd.DataFrame(
        {
            "lambda": np.repeat(list(strengths), models),
            "model": np.tile(np.arange(models), len(strengths)),
            "train_loss": evaluate(field, params, run.train, run.config).cpu().numpy(),
            "validation_loss": evaluate(field, params, run.held, run.config).cpu().numpy(),
            "weight_sparsity": weight_sparsity(field, params).cpu().numpy(),
            "feature_sparsity": feature_sparsity(field, params).cpu().numpy(),
        }
    )
    if transcription_factors is not None:
        table["spurious_sparsity"] = spurious_sparsity(field, params, transcription_factors).cpu().numpy()
    return table


def _repeat(tensors: Params, times: int) -> Params:
    return {name: value.repeat(times, *[1] * (value.ndim - 1)) for name, value in tensors.items()}
