"""Which model of a run is kept, and how long a run goes on for a better one."""

import torch
from torch import Tensor

from scdash.training.config import TrainConfig
from scdash.training.state import TrainState


def keep_best(
    config: TrainConfig,
    state: TrainState,
    loss: Tensor,
    error: Tensor,
    active: Tensor,
    penalty: Tensor | float = 0.0,
    returnable_from: int = 0,
) -> None:
    """Keep the best model since the last harmless pruning, each model of the stack for itself.

    Models are compared by what training minimises, validation loss and penalty together: by the loss alone one from before
    the gates had closed would be best. The learning rate follows the loss alone, see `lower_rates`.
    With a tolerance of 0 that is the lowest validation loss of all; with 1 it is the rule of one standard error by which
    the paper chooses the sparsity of post-hoc pruning (Hastie et al.), applied along the schedule. None is kept from before
    the epoch `returnable_from`.
    """
    if state.epoch < returnable_from:
        return
    allowed = state.lowest + config.tolerance * state.lowest_error
    sparser = state.best_epoch < state.pruned_at
    objective = loss + penalty
    better = active & (objective < torch.where(sparser, allowed, state.best_loss))
    state.best_loss = torch.where(better, objective, state.best_loss)
    state.best_validation = torch.where(better, loss, state.best_validation)
    state.best_epoch = torch.where(better, state.epoch, state.best_epoch)
    for kept, current in ((state.best_params, state.params), (state.best_masks, state.masks)):
        for name, value in current.items():
            for model in better.nonzero().flatten().tolist():  # a fifth of the time of kept[better] = value[better]
                kept[name][model].copy_(value[model])
    lower = active & (objective < state.lowest)
    state.lowest = torch.where(lower, objective, state.lowest)
    state.lowest_error = torch.where(lower, error, state.lowest_error)
    state.lowest_epoch = torch.where(lower, state.epoch, state.lowest_epoch)


def still_training(config: TrainConfig, state: TrainState, returnable_from: int = 0) -> Tensor:
    """Return which models still train: those that improved within `patience` epochs, counted once they may be kept."""
    since = state.lowest_epoch.clamp_min(returnable_from)
    return state.epoch - since <= config.patience
