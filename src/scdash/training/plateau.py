"""Learning rates that fall where the validation loss stops falling, as `torch.optim.lr_scheduler.ReduceLROnPlateau`."""

import torch
from torch import Tensor

from scdash.training.config import TrainConfig
from scdash.training.state import TrainState


def lower_rates(config: TrainConfig, state: TrainState, loss: Tensor) -> None:
    """Lower learning rates on plateaus, each model for itself."""
    if (plateau := config.plateau) is not None:
        gained = loss < state.plateau_best - plateau.threshold
        state.plateau_best = torch.where(gained, loss, state.plateau_best)
        state.plateau_bad = torch.where(gained, 0, state.plateau_bad + 1)
        lower = state.plateau_bad > plateau.patience
        lowered = (state.rate * plateau.factor).clamp_min(plateau.minimum)
        state.rate = torch.where(lower, lowered.minimum(state.rate), state.rate)  # a plateau raises no rate
        state.plateau_bad = torch.where(lower, 0, state.plateau_bad)
    if config.decay != 1:
        state.rate = state.rate * config.decay
