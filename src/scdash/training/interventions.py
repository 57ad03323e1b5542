"""What the perturbations of a screen do to the field: production masks, added shifts, and strengths read from the data."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from scdash._data.screen import Screen

ADDED = ("overexpression", "shift")  # kinds that add a strength to their targets
SMALLEST = 1e-3  # of a strength: softplus cannot reach zero
KNOCKED_DOWN = (0.05, 0.95)  # bounds of what a knockdown takes away


def interventions(screen: Screen) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return M (perturbations, genes), where a strength is added and where production is only weakened, by kind.

    M is 0 at the targets of perfect interventions; a knockdown's 1 - rho is applied on top (`Strengths.apply`).
    """
    mask = np.ones(screen.targets.shape, np.float32)
    kind = np.asarray(screen.kinds)[:, None]
    mask[screen.targets & np.isin(kind, ("overexpression", "knockout"))] = 0
    return mask, screen.targets & np.isin(kind, ADDED), screen.targets & (kind == "knockdown")


def start_strengths(means: NDArray[Any], control: NDArray[Any], screen: Screen, w: float) -> NDArray[np.float32]:
    """Return s from the data: perfect w * mean(x | perturbed), imperfect that minus control; unseen the median ratio."""
    total, times = np.zeros(means.shape[1]), np.zeros(means.shape[1])
    for r in range(1, screen.n_perturbations):
        if screen.kinds[r] in ADDED:
            at = screen.targets[r]
            total[at] += w * (means[r] - (control if screen.kinds[r] == "shift" else 0))[at]
            times[at] += 1
    seen = times > 0
    strength = np.where(seen, total / np.maximum(times, 1), 0.0)
    if seen.any() and not seen.all():
        ratio = np.median(strength[seen] / np.maximum(control[seen], 1e-3))
        strength = np.where(seen, strength, ratio * control)
    return np.maximum(strength, 0).astype(np.float32)


def start_knockdowns(means: NDArray[Any], control: NDArray[Any], screen: Screen) -> NDArray[np.float32]:
    """Return rho from the data, 1 - mean(x | knocked down) / control; genes never knocked down take the median."""
    weak = interventions(screen)[2]
    times = weak.sum(axis=0)
    kept = np.where(weak, means, 0).sum(axis=0) / np.maximum(times, 1) / np.maximum(control, 1e-3)
    seen = times > 0
    kept = np.where(seen, kept, np.median(kept[seen]) if seen.any() else 0.5)
    rho: NDArray[np.float32] = np.clip(1 - kept, *KNOCKED_DOWN).astype(np.float32)
    return rho


@dataclass(frozen=True)
class Strengths:
    """How strongly genes are perturbed, free of constraints; both (genes,)."""

    raw_shift: Tensor  # s = softplus
    raw_rho: Tensor  # rho = sigmoid, what a knockdown takes from production

    @classmethod
    def from_values(cls, shift: NDArray[Any], rho: NDArray[Any]) -> "Strengths":
        """Return the strengths of given s >= 0 and 0 < rho < 1."""
        s, r = (torch.as_tensor(np.asarray(v, dtype=np.float32)) for v in (shift, rho))
        return cls(torch.log(torch.expm1(s.clamp_min(SMALLEST))), torch.logit(r.clamp(*KNOCKED_DOWN)))

    @property
    def shift(self) -> Tensor:
        """What is added to targets (genes,)."""
        return softplus(self.raw_shift)

    @property
    def rho(self) -> Tensor:
        """The fraction of production that a knockdown takes away (genes,)."""
        return torch.sigmoid(self.raw_rho)

    def apply(self, mask: Tensor, added: Tensor, weak: Tensor) -> tuple[Tensor, Tensor]:
        """Return M and u of rows (..., genes) from what `interventions` says of them."""
        return torch.where(weak, 1 - self.rho, mask), added * self.shift

    def copy(self) -> "Strengths":
        """Return detached copies."""
        return Strengths(self.raw_shift.detach().clone(), self.raw_rho.detach().clone())


def first_strengths(means: NDArray[Any], screen: Screen, w: float, knockdown: float | None) -> Strengths:
    """Return strengths before training, from perturbation means (perturbations, genes), the control first, and the decay w.

    `knockdown` is rho where it is known instead of read from the data.
    """
    rho = start_knockdowns(means, means[0], screen)
    if knockdown is not None:
        rho = np.full_like(rho, knockdown)
    return Strengths.from_values(start_strengths(means, means[0], screen, w), rho)
