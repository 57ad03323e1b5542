"""Bicycle: intervention-based causal discovery with cycles (Rohbeck et al. 2024, CLeaR), for log-normalised cells."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from benchmarks.screen_baselines.held_out import choose
from benchmarks.screen_baselines.inputs import Floats, checked
from benchmarks.screen_baselines.lyapunov import stationary_covariance

MARGIN = 0.98  # the largest real part of an eigenvalue of the network, below the decay of 1
PENALTIES = (0.1, 0.05, 0.02, 0.01, 0.005)
BRIEF_STEPS = 200  # of training while the penalty is chosen
RIDGE = 1e-3  # of the within-perturbation variance, added to covariances of few cells


@dataclass(frozen=True)
class BicycleSettings:
    """Settings of training."""

    penalty: float = 0.02  # of sum |W| beside the mean negative log likelihood of a cell
    steps: int = 600
    learning_rate: float = 2e-2
    perturbations: int = 20  # drawn in every step


def bicycle(
    x: ArrayLike, perturbation: ArrayLike, targets: ArrayLike, settings: BicycleSettings | None = None, *, seed: int = 0
) -> Floats:
    r"""Return signed effects (regulator, target) of a linear system with noise that may hold cycles.

    Cells of perturbation k are draws from the steady state of dx = (B_k x + a_k) dt + S_k dw, the normal distribution with

    .. math:: \mu_k = -B_k^{-1} a_k, \qquad B_k \Omega_k + \Omega_k B_k^T + S_k S_k^T = 0

    where B = W^T - 1, and a perfect intervention on gene t takes away W's entries into t and gives t an a and an S of its
    own. The time scale of a steady state is free, so that every gene decays at rate 1. Maximised is the likelihood of
    the mean and covariance of every perturbation's cells, less an L1 penalty on W. Without `settings`, the likelihood of
    held-out perturbations chooses the penalty. The paper reaches the Lyapunov
    equation by a penalty within a variational fit to counts; here it is solved exactly, with its exact gradient, and the
    log-normalised cells are the states. W is scaled back after a step that leaves an eigenvalue of a B_k at or above zero.
    """
    arrays = checked(x, perturbation, targets)
    perturbed = np.flatnonzero((np.bincount(arrays[1], minlength=len(arrays[2])) > 0) & arrays[2].any(axis=1))
    candidates = [BicycleSettings(p, steps=BRIEF_STEPS) for p in PENALTIES]
    settings = settings or replace(
        choose(candidates, perturbed, partial(_error, arrays=arrays, seed=seed), seed=seed), steps=BicycleSettings.steps
    )
    system = _trained(_System.start(*arrays), settings, seed)
    return (system.weights.detach() * system.off).numpy()


def _trained(system: "_System", settings: BicycleSettings, seed: int, left_out: ArrayLike = ()) -> "_System":
    """Return the system after training on all perturbations but those left out."""
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(system.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    observed = np.setdiff1d(np.flatnonzero(system.count > 0), left_out)
    for _ in range(settings.steps):
        drawn = rng.choice(observed, min(settings.perturbations, len(observed)), replace=False)
        system.keep_stable(drawn)
        size = (system.weights * system.off).abs().sum()
        loss = (system.fractions(drawn) * system.loss(drawn)).sum() + settings.penalty * size
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return system


def _error(settings: BicycleSettings, left_out: NDArray[np.int64], *, arrays: Any, seed: int) -> float:
    """Return the negative log likelihood of a cell of perturbations left out.

    What a perturbation sets its target to is no prediction: mean and variance of a target are those of its own cells.
    """
    system = _trained(_System.start(*arrays), settings, seed, left_out)
    with torch.no_grad():
        system.keep_stable(left_out)
        return float((system.fractions(left_out) * system.loss(left_out)).sum())


@dataclass
class _System:
    """A linear system in units of the genes' SDs within perturbations, and what is known of every perturbation."""

    weights: Tensor  # W (regulator, target)
    constant: Tensor  # a (genes,)
    log_noise: Tensor  # log of the diagonal of S S^T, (genes,)
    aimed_constant: Tensor  # a of targets, (perturbations, genes)
    aimed_log_noise: Tensor  # the same of S S^T
    off: Tensor  # 1 off the diagonal
    targets: Tensor  # (perturbations, genes) bool
    mean: Tensor  # (perturbations, genes)
    covariance: Tensor  # (perturbations, genes, genes)
    count: NDArray[np.int64]  # cells

    @classmethod
    def start(cls, x: Floats, number: NDArray[np.int64], targets: NDArray[np.bool_]) -> "_System":
        """Start without a network: every gene at its mean over the perturbations that leave it alone."""
        k, d = targets.shape
        count = np.bincount(number, minlength=k)
        mean = np.stack([x[number == r].mean(0) if count[r] else np.zeros(d) for r in range(k)])
        within = x - mean[number]
        free = ~targets[number]
        variance = (within**2 * free).sum(0) / np.maximum(free.sum(0), 1)
        sd = np.where(variance > 0, np.sqrt(variance), 1)
        centre = (x * free).sum(0) / np.maximum(free.sum(0), 1)
        mean, within = (mean - centre) / sd, within / sd
        covariance = np.stack([within[number == r].T @ within[number == r] / max(count[r], 1) for r in range(k)])
        covariance += RIDGE * np.eye(d)
        own = np.log(2 * np.diagonal(covariance, axis1=1, axis2=2))
        learned = (np.zeros((d, d)), np.zeros(d), np.full(d, np.log(2.0)), mean, own)
        known = (1 - np.eye(d), targets, mean, covariance)
        fields: list[Any] = [torch.tensor(p).requires_grad_() for p in learned]
        fields += [*(torch.tensor(p) for p in known), count.astype(int)]
        return cls(*fields)

    def parameters(self) -> list[Tensor]:
        return [self.weights, self.constant, self.log_noise, self.aimed_constant, self.aimed_log_noise]

    def drift(self, drawn: NDArray[np.int64]) -> Tensor:
        """Return B_k (perturbations, target, regulator)."""
        network = (self.weights * self.off).T
        return torch.where(self.targets[drawn][:, :, None], 0, network) - torch.eye(len(network), dtype=network.dtype)

    def fractions(self, drawn: NDArray[np.int64]) -> Tensor:
        """Return the fraction of the cells of the perturbations drawn that each has."""
        return torch.as_tensor(self.count[drawn] / self.count[drawn].sum())

    def keep_stable(self, drawn: NDArray[np.int64]) -> None:
        """Scale W down where a steady state would not be stable."""
        with torch.no_grad():
            largest = float(torch.linalg.eigvals(self.drift(drawn)).real.max()) + 1
            if largest > MARGIN:
                self.weights.mul_(MARGIN / largest)

    def loss(self, drawn: NDArray[np.int64]) -> Tensor:
        """Return the negative log likelihood of a cell, without its constant, of every perturbation drawn."""
        aimed, drift = self.targets[drawn], self.drift(drawn)
        constant = torch.where(aimed, self.aimed_constant[drawn], self.constant)
        noise = torch.where(aimed, self.aimed_log_noise[drawn], self.log_noise).exp()
        apart = self.mean[drawn] + torch.linalg.solve(drift, constant[..., None])[..., 0]
        factor = torch.linalg.cholesky(stationary_covariance(drift, noise))
        seen = self.covariance[drawn] + apart[:, :, None] * apart[:, None, :]
        log_volume = factor.diagonal(dim1=1, dim2=2).log().sum(1)
        return log_volume + 0.5 * torch.cholesky_solve(seen, factor).diagonal(dim1=1, dim2=2).sum(1)
