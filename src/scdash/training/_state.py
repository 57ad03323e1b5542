"""The state of training as a value: it can be written, read, resumed and stacked."""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Arrays = dict[str, NDArray[Any]]
PER_MODEL = ("rate", "plateau_best", "plateau_bad", "lowest", "lowest_error", "lowest_epoch", "best_loss", "best_epoch")


@dataclass
class TrainState:
    """Everything the next epoch depends on; the leading axis of every tensor counts models."""

    params: dict[str, Tensor]
    masks: dict[str, Tensor]  # boolean, prunable matrices only
    memory: dict[str, Tensor]  # scores of the previous pruning
    moments: dict[str, tuple[Tensor, Tensor]]
    rate: Tensor  # (models,) current learning rate
    plateau_best: Tensor
    plateau_bad: Tensor
    lowest: Tensor  # lowest validation loss among the epochs that may be returned, its standard error, and its epoch
    lowest_error: Tensor
    lowest_epoch: Tensor
    best_loss: Tensor  # of the model that is kept: within the tolerance of the lowest
    best_epoch: Tensor
    best_params: dict[str, Tensor]
    best_masks: dict[str, Tensor]
    epoch: int = 0
    step: int = 0
    pruned_at: int = -1  # epoch of the last pruning
    history: list[dict[str, float]] = field(default_factory=list)
    compact: Any = field(default=None, repr=False, compare=False)  # follows from the masks; not part of the value

    @classmethod
    def start(
        cls, params: dict[str, Tensor], masks: dict[str, Tensor], memory: dict[str, Tensor], rate: float
    ) -> "TrainState":
        """Return the state before the first epoch."""
        first = next(iter(params.values()))
        models, device = len(first), first.device
        infinite = torch.full((models,), torch.inf, device=device)
        none = torch.zeros(models, dtype=torch.long, device=device)
        return cls(
            params=params,
            masks=masks,
            memory=memory,
            moments={k: (torch.zeros_like(p), torch.zeros_like(p)) for k, p in params.items()},
            rate=torch.full((models,), rate, device=device),
            plateau_best=infinite.clone(),
            plateau_bad=none.clone(),
            lowest=infinite.clone(),
            lowest_error=torch.zeros(models, device=device),
            lowest_epoch=none - 1,
            best_loss=infinite.clone(),
            best_epoch=none - 1,
            best_params={k: p.clone() for k, p in params.items()},
            best_masks={k: m.clone() for k, m in masks.items()},
        )

    def to_arrays(self) -> Arrays:
        """Return the state as flat arrays (npz-ready, no pickle)."""
        arrays: Arrays = {}
        for group in ("params", "masks", "memory", "best_params", "best_masks"):
            arrays |= {f"{group}|{k}": v.cpu().numpy() for k, v in getattr(self, group).items()}
        for k, (first, second) in self.moments.items():
            arrays |= {f"first|{k}": first.cpu().numpy(), f"second|{k}": second.cpu().numpy()}
        for name in PER_MODEL:
            arrays[name] = getattr(self, name).cpu().numpy()
        arrays["counters"] = np.array([self.epoch, self.step, self.pruned_at])
        arrays["history"] = np.array(json.dumps(self.history))
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays, device: torch.device) -> "TrainState":
        """Rebuild a state from `to_arrays`."""

        def group(prefix: str) -> dict[str, Tensor]:
            mine = (k for k in arrays if k.startswith(prefix + "|"))
            return {k.split("|", 1)[1]: torch.tensor(arrays[k], device=device) for k in mine}

        first, second = group("first"), group("second")

        epoch, step, pruned_at = (int(c) for c in arrays["counters"])
        return cls(
            params=group("params"),
            masks=group("masks"),
            memory=group("memory"),
            best_params=group("best_params"),
            best_masks=group("best_masks"),
            moments={k: (first[k], second[k]) for k in first},
            **{name: torch.tensor(arrays[name], device=device) for name in PER_MODEL},
            epoch=epoch,
            step=step,
            pruned_at=pruned_at,
            history=json.loads(str(arrays["history"])),
        )
