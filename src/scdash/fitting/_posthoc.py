"""Post-hoc pruning: train dense, prune to each level, fine-tune all levels as one stack, choose by one standard error."""

from dataclasses import replace

import pandas as pd
import torch

from scdash.fields import Params, VectorField
from scdash.fitting._options import FitOptions, Recipe
from scdash.fitting._problem import FitProblem
from scdash.fitting._stack import train_stack
from scdash.fitting._train import Trained
from scdash.sparsity import Sparsity, as_sparsity, choose_one_standard_error, prune_to


def fit_posthoc(
    problem: FitProblem, options: FitOptions, plan: Recipe, field: VectorField, params: Params, method: Sparsity
) -> tuple[Trained, pd.DataFrame]:
    """Return the chosen model and the table of levels (`level`, `repeat`, `validation_mse`, `epochs`).

    Repeats differ in their starting weights (`params` has one model per repeat) and shuffling; with levels they are
    one stack of levels * repeats models. The model returned is the best repeat of the chosen level.
    """
    none = as_sparsity("none")
    whole = replace(options, checkpoint=None)
    dense = train_stack(problem, whole, plan, field, params, {}, none, None, 0, description="training dense")
    repeats = len(dense.validation_loss)
    levels = torch.tensor(method.levels, dtype=torch.float64).repeat_interleave(repeats)
    stacked = {name: value.repeat(len(method.levels), *[1] * (value.ndim - 1)) for name, value in dense.params.items()}
    pruned, masks = prune_to(field, stacked, levels)
    tuned = train_stack(problem, whole, plan, field, pruned, masks, none, None, 0, description="fine-tuning")
    table = pd.DataFrame(
        {
            "level": levels.numpy(),
            "repeat": [i % repeats for i in range(len(levels))],
            "validation_mse": tuned.validation_loss,
            "epochs": [e + 1 for e in tuned.best_epoch],
        }
    )
    level = choose_one_standard_error(table)
    at = int(table["validation_mse"].where(table["level"] == level).idxmin())
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
