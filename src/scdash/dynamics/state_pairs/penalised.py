"""Penalties and gates: a model is trained dense, made sparse step by step, and trained on with the zeros it has then.

Perturbation (ii) of Aliee et al. 2022, section 3.2. Where no strength is given it is chosen: the strongest of a ladder whose
held-out error is within one standard error of the lowest.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from scdash._core.decisions import largest_within_one_error
from scdash._core.logging import logger
from scdash.dynamics.options import FitOptions, Recipe
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.state_pairs.stacks import train_stack
from scdash.dynamics.state_pairs.train import Trained, training_rows, validation_rows
from scdash.fields import Params, VectorField, zero_fraction
from scdash.sparsity import SPARSITIES, Context, Prior, Sparsity, as_sparsity
from scdash.training import Examples, TrainState, checkpoint_of_part, example_errors, examples_from

# Optimiser steps at every strength: open gates need 180 at their own rate to close, and as many draws to know whether to.
STEPS = 500
RAISED = (0.03, 0.1, 0.3, 1.0)  # fractions of a strength that was given, on the way to it
TINY = 1e-12  # a penalty that is 0 has no unit
HOPELESS = 3.0  # standard errors above the lowest error, beyond which no stronger penalty is tried


@dataclass(frozen=True)
class Level:
    """A model trained at one strength: its state to go on from, what evaluation makes of it, its errors."""

    method: Sparsity
    state: TrainState
    errors: NDArray[np.float64]  # of held-out examples, mean over models
    zeros: float


@dataclass
class PenalisedRun:
    """What the stages of one fit share, and the history they leave."""

    problem: FitProblem
    options: FitOptions
    plan: Recipe
    field: VectorField
    examples: dict[str, Examples]
    histories: list[pd.DataFrame]
    prior: Prior | None = None
    epochs: int = 0

    def stage(
        self, method: Sparsity, params: Params, masks: Params, name: str, *, kept_from: int = 0, **changes: Any
    ) -> Trained:
        """Train on under `method` with changed settings; the epochs count on from the stage before."""
        plan, number = replace(self.plan, config=replace(self.plan.config, **changes)), len(self.histories)
        found = train_stack(
            self.problem,
            replace(self.options, checkpoint=checkpoint_of_part(self.options.checkpoint, number)),
            plan,
            self.field,
            params,
            masks,
            method,
            self.prior,
            kept_from,
            description=name,
            until=plan.config.max_epochs,
            **self.examples,
        )
        self.histories.append(found.history.assign(epoch=found.history["epoch"] + self.epochs))
        self.epochs += found.epochs
        return found

    def errors(self, params: Params) -> NDArray[np.float64]:
        """Return the error of every held-out example, mean over models."""
        held = self.examples["held_examples"].to(torch.device("cpu"), torch.float32)
        found: NDArray[np.float64] = example_errors(self.field, params, held, self.plan.config).mean(0).double().numpy()
        return found

    def finished(self, trained: Trained) -> Trained:
        """Return the last stage as the end of all of them."""
        before = self.epochs - trained.epochs
        history = pd.concat(self.histories, ignore_index=True)
        best = tuple(epoch + before for epoch in trained.best_epoch)
        return replace(trained, history=history, epochs=self.epochs, best_epoch=best, state=None)


def fit_penalised(
    problem: FitProblem,
    options: FitOptions,
    plan: Recipe,
    field: VectorField,
    params: Params,
    masks: Params,
    method: Sparsity,
    prior: Prior | None = None,
    **examples: Examples,
) -> tuple[Trained, pd.DataFrame]:
    """Return the models, and the table of strengths (`lambda`, `validation_mse`, `sparsity`, `chosen`).

    Three stages: without the method (`plan`); a level for every strength, each from the weights and gates of the one
    before; and, at the strength that was chosen, the weights that are left with gates held as they are, so that every
    model that can be returned has the zeros of the last. `examples` as for `train_models`.
    """
    series, window = problem.series, plan.config.window
    known = {"train_examples": training_rows, "held_examples": validation_rows}
    given = {name: examples.get(name) or examples_from(series, rows(series, window)) for name, rows in known.items()}
    run = PenalisedRun(problem, options, plan, field, given, [], prior)
    dense = run.stage(as_sparsity("none"), params, masks, "training dense")
    if dense.interrupted:
        return run.finished(dense), pd.DataFrame()
    levels, last = _climb(run, dense, ladder_of(run, method, dense))
    table, chosen = _choose(levels, chooses=strength_is_chosen(options))
    if last.interrupted:
        return run.finished(last), table
    level = levels[chosen]
    state = level.state.to(torch.device("cpu"))
    rest = run.stage(level.method.settled(), state.best_params, state.best_masks, "training what is left")
    return run.finished(rest), table


def strength_is_chosen(options: FitOptions) -> bool:
    """Return whether the strength is left to validation: the method is named, and no strength is given."""
    return isinstance(options.sparsity, str) and options.lambdas is None and "lambdas" not in options.sparsity_options


def ladder_of(run: PenalisedRun, method: Sparsity, dense: Trained) -> list[Sparsity]:
    """Return the method at rising strengths: those of its ladder, or on the way to the one that was given."""
    own = tuple(method.options.get("lambdas", ()))
    if not own or method.name not in SPARSITIES:  # an object of the user's own, which cannot be built anew
        return [method]
    if not (strength_is_chosen(run.options) and method.ladder):
        return [method.with_options(lambdas=[value * part for value in own]) for part in RAISED]
    units = _units(run, method, dense)
    return [method.with_options(lambdas=[f * u for f, u in zip(rung, units, strict=True)]) for rung in method.ladder]


def _units(run: PenalisedRun, method: Sparsity, dense: Trained) -> list[float]:
    """Return the strengths at which every part of the dense model's penalty is its held-out error; else its own."""
    own, error = tuple(method.options["lambdas"]), float(np.mean(run.errors(dense.params)))
    params = dense.params | method.opened(run.field, len(next(iter(dense.params.values()))))
    found = []
    for place, value in enumerate(own):
        alone = method.with_options(lambdas=[float(place == other) for other in range(len(own))])
        penalty = alone.penalty(Context(run.field, params, dense.masks, run.prior))
        found.append(float(value) if penalty is None else error / max(float(penalty.mean()), TINY))
    return found


def _climb(run: PenalisedRun, dense: Trained, ladder: list[Sparsity]) -> tuple[list[Level], Trained]:
    """Train at every strength from where the one before ended; return the levels, and the last model trained.

    The epoch kept of a level is the best of its second half, by validation loss and penalty. A ladder ends early where the
    held-out error is hopeless.
    """
    batches = -(-run.examples["train_examples"].longest // run.plan.config.batch_size)
    epochs = max(1, min(run.plan.config.max_epochs, -(-STEPS // batches)))
    params, masks, levels = dict(dense.params), dict(dense.masks), []
    params |= ladder[0].opened(run.field, len(next(iter(params.values()))))
    trained = dense
    for number, method in enumerate(ladder):
        trained = run.stage(
            method,
            params,
            masks,
            f"strength {number + 1} of {len(ladder)}",
            kept_from=epochs // 2,
            max_epochs=epochs,
            patience=epochs,
            plateau=None,
            decay=1.0,
        )
        state = trained.state
        if trained.interrupted or state is None:
            break
        params, masks = state.best_params, state.best_masks
        zeros = float(zero_fraction(run.field, trained.params).mean())
        levels.append(Level(method, state, run.errors(trained.params), zeros))
        lowest = min((level.errors for level in levels), key=lambda errors: float(errors.mean()))
        spread = float(lowest.std() / np.sqrt(len(lowest)))
        if strength_is_chosen(run.options) and levels[-1].errors.mean() > lowest.mean() + HOPELESS * spread:
            logger.info("    stronger penalties are not tried: the held-out error has risen too far")
            break
    return levels, trained


def _choose(levels: list[Level], *, chooses: bool) -> tuple[pd.DataFrame, int]:
    """Return the table of levels and the number of the chosen one: by held-out error, or the last one of a given strength."""
    chosen = len(levels) - 1
    if chooses and levels:
        chosen = int(largest_within_one_error({float(n): level.errors for n, level in enumerate(levels)}))
    rows = []
    for number, level in enumerate(levels):
        strengths = tuple(level.method.options.get("lambdas", ()))
        names = ["lambda"] if len(strengths) == 1 else [f"lambda_{place}" for place in range(len(strengths))]
        rows.append(
            {name: float(value) for name, value in zip(names, strengths, strict=True)}
            | {"validation_mse": float(level.errors.mean()), "sparsity": level.zeros, "chosen": number == chosen}
        )
    return pd.DataFrame(rows), chosen
