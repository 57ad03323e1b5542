"""The state of training as a value: it can be written, read, resumed and stacked."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Arrays = dict[str, NDArray[Any]]
GROUPS = ("params", "masks", "memory", "best_params", "best_masks")
PER_MODEL = (
    *("rate", "plateau_best", "plateau_bad"),
    *("lowest", "lowest_error", "lowest_epoch"),
    *("best_loss", "best_validation", "best_epoch"),
)


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
    lowest: Tensor  # lowest validation loss and penalty among the epochs that may be returned, its standard error, and its epoch
    lowest_error: Tensor
    lowest_epoch: Tensor
    best_loss: Tensor  # of the model that is kept, penalty included: within the tolerance of the lowest
    best_validation: Tensor  # of the same model, without the penalty
    best_epoch: Tensor
    best_params: dict[str, Tensor]
    best_masks: dict[str, Tensor]
    epoch: int = 0
    step: int = 0
    pruned_at: int = -1  # epoch of the last pruning
    history: list[dict[str, float]] = field(default_factory=list)

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
            best_validation=infinite.clone(),
            best_epoch=none - 1,
            best_params={k: p.clone() for k, p in params.items()},
            best_masks={k: m.clone() for k, m in masks.items()},
        )

    def of_models(self, models: Sequence[int]) -> "TrainState":
        """Return some models of the stack in the order given; one that is named twice is there twice.

        Training goes on from it as from the whole stack: a model's next epoch depends on no other model.
        """
        places: dict[int, list[int]] = {}
        for place, model in enumerate(models):
            places.setdefault(int(model), []).append(place)
        history = [row | {"model": place} for row in self.history for place in places.get(int(row["model"]), ())]
        chosen = list(models)
        return self._with(lambda tensor: tensor[chosen], history)

    def to(self, device: torch.device) -> "TrainState":
        """Return the state on a device."""
        return self._with(lambda tensor: tensor.to(device), self.history)

    def _with(self, change: Callable[[Tensor], Tensor], history: list[dict[str, float]]) -> "TrainState":
        groups: dict[str, Any] = {g: {k: change(v) for k, v in getattr(self, g).items()} for g in GROUPS}
        groups |= {name: change(getattr(self, name)) for name in PER_MODEL}
        moments = {k: (change(first), change(second)) for k, (first, second) in self.moments.items()}
        return replace(self, **groups, moments=moments, history=history)

    @classmethod
    def together(cls, states: "Sequence[TrainState]") -> "TrainState":
        """Return one stack of the models of several that were trained to the same epoch.

        One whose models have all stopped may lag behind: its models take no further part.
        """
        first, history = 0, []
        for state in states:
            history += [row | {"model": row["model"] + first} for row in state.history]
            first += len(state.rate)
        groups: dict[str, Any] = {group: stacked([getattr(state, group) for state in states]) for group in GROUPS}
        groups |= stacked([{name: getattr(state, name) for name in PER_MODEL} for state in states])
        firsts, seconds = (stacked([{k: m[i] for k, m in s.moments.items()} for s in states]) for i in range(2))
        groups["moments"] = {k: (firsts[k], seconds[k]) for k in firsts}
        counters = {name: max(getattr(state, name) for state in states) for name in ("epoch", "step", "pruned_at")}
        return cls(**groups, history=sorted(history, key=lambda row: (row["epoch"], row["model"])), **counters)

    def to_arrays(self) -> Arrays:
        """Return the state as flat arrays (npz-ready, no pickle)."""
        arrays: Arrays = {}
        for group in GROUPS:
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


def stacked(parts: "Sequence[dict[str, Tensor]]") -> dict[str, Tensor]:
    """Return the tensors of several stacks as those of one."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def apply_masks(params: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """Set weights to 0 where the masks are False, in place."""
    with torch.no_grad():
        for name, mask in masks.items():
            params[name].mul_(mask)
