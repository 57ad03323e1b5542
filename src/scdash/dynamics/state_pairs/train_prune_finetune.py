"""Post-hoc pruning: train dense, prune to each level, fine-tune all levels as one stack, choose by one standard error."""

from dataclasses import replace

import pandas as pd
import torch

from scdash.dynamics.options import FitOptions, Recipe
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.state_pairs.stacks import train_stack
from scdash.dynamics.state_pairs.train import Trained
from scdash.fields import Params, VectorField
from scdash.sparsity import Sparsity, as_sparsity, choose_one_standard_error, prune_to
from scdash.training import Examples


def fit_posthoc(
    problem: FitProblem, options: FitOptions, plan: Recipe, field: VectorField, params: Params, method: Sparsity
) -> tuple[Trained, pd.DataFrame]:
    """Return the chosen model and the table of levels (`level`, `repeat`, `validation_mse`, `epochs`).

    Repeats differ in their starting weights (`params` has one model per repeat) and shuffling; with levels they are
    one stack of levels * repeats models. The model returned is the best repeat of the chosen level.
    """
    dense, tuned, table = tune_levels(problem, options, plan, field, params, method)
    repeats, level = len(dense.validation_loss), choose_one_standard_error(table)
    at = int(table["validation_mse"].where(table["level"] == level).argmin())
    history = pd.concat(
        [
            dense.history[dense.history["model"] == at % repeats].assign(model=0),
            tuned.history[tuned.history["model"] == at].assign(model=0, epoch=lambda t: t["epoch"] + dense.epochs),
        ],
        ignore_index=True,
    )
    chosen = Trained(
        params={name: value[at : at + 1] for name, value in tuned.params.items()},
        masks={name: value[at : at + 1] for name, value in tuned.masks.items()},
        history=history,
        epochs=dense.epochs + tuned.epochs,
        best_epoch=(dense.epochs + tuned.best_epoch[at],),
        validation_loss=(tuned.validation_loss[at],),
    )
    return chosen, table


def tune_levels(
    problem: FitProblem,
    options: FitOptions,
    plan: Recipe,
    field: VectorField,
    params: Params,
    method: Sparsity,
    **examples: Examples,
) -> tuple[Trained, Trained, pd.DataFrame]:
    """Return the dense models, the fine-tuned ones (level by level, all repeats of a level together) and their table.

    `train_examples` and `held_examples` say what every repeat sees; without them all see the series of `problem`.
    """
    none = as_sparsity("none")
    whole = replace(options, checkpoint=None)
    dense = train_stack(
        problem, whole, plan, field, params, {}, none, None, 0, description="training dense", **examples
    )
    repeats = len(dense.validation_loss)
    levels = torch.tensor(method.levels, dtype=torch.float64).repeat_interleave(repeats)
    repeat = torch.arange(repeats).repeat(len(method.levels))
    pruned, masks = prune_to(field, {name: value[repeat] for name, value in dense.params.items()}, levels)
    own = {name: value.of_models(repeat) for name, value in examples.items()}
    few = replace(plan, config=replace(plan.config, max_epochs=min(plan.config.max_epochs, method.tuning_epochs)))
    tuned = train_stack(problem, whole, few, field, pruned, masks, none, None, 0, description="fine-tuning", **own)
    table = pd.DataFrame(
        {
            "level": levels.numpy(),
            "repeat": repeat.numpy(),
            "validation_mse": tuned.validation_loss,
            "epochs": [e + 1 for e in tuned.best_epoch],
        }
    )
    return dense, tuned, table
