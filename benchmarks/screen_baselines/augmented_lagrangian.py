"""Training with an acyclicity constraint by the augmented Lagrangian."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Lagrangian:
    """Minimise objective + gamma h + mu / 2 h^2 by Adam, raising gamma and mu until h is small.

    After each round gamma grows by mu h, and mu by `growth` unless h fell below `progress` of its value before
    (Brouillard et al. 2020, appendix B).
    """

    rounds: int = 12
    steps: int = 300  # of Adam in a round
    learning_rate: float = 1e-2
    mu: float = 1e-3
    growth: float = 5.0
    progress: float = 0.9
    tolerance: float = 1e-2  # on h, where training ends

    def minimise(
        self, parameters: Iterable[Tensor], objective: Callable[[], Tensor], constraint: Callable[[], Tensor]
    ) -> float:
        """Train `parameters` in place and return the last value of the constraint."""
        optimiser = torch.optim.Adam(list(parameters), lr=self.learning_rate)
        gamma, mu, before, h = 0.0, self.mu, float("inf"), float("inf")
        for _ in range(self.rounds):
            for _ in range(self.steps):
                violation = constraint()
                loss = objective() + gamma * violation + mu / 2 * violation**2
                if not torch.isfinite(loss):
                    raise FloatingPointError("The loss is not finite; lower learning_rate.")
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            with torch.no_grad():
                h = float(constraint())
            if h <= self.tolerance:
                break
            gamma += mu * h
            mu = mu * self.growth if h > self.progress * before else mu
            before = h
        return h
