"""Training with an acyclicity constraint by the augmented Lagrangian."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Lagrangian:
    """Minimise the objective by Adam, then objective + gamma c + mu / 2 c^2, raising gamma and mu until c is small.

    c is the constraint relative to its value at the start (Brouillard et al. 2020 divide by that of the full graph). Without
    that division, and without steps before the constraint counts, the constraint of a wide screen (50 to 100 at the start)
    outweighs the likelihood (0.1 between no edge and all) at once, and the graph is emptied before it is learned. The
    authors of DCDI and DCDFG start mu at 1e-8 and double it at every stationary point for the same reason. After each round
    gamma grows by mu c, and mu by `growth` unless c fell below `progress` of its value before.
    """

    warm_up: int = 2000  # steps of Adam before the constraint counts
    rounds: int = 12
    steps: int = 200  # of Adam in a round
    learning_rate: float = 1e-2
    mu: float = 1e-2
    growth: float = 4.0
    progress: float = 0.25
    tolerance: float = 1e-4  # on c, where training ends

    def minimise(
        self, parameters: Iterable[Tensor], objective: Callable[[], Tensor], constraint: Callable[[], Tensor]
    ) -> float:
        """Train `parameters` in place and return the last value of c."""
        optimiser = torch.optim.Adam(list(parameters), lr=self.learning_rate)
        scale = float(constraint().detach()) or 1.0

        def step(gamma: float, mu: float) -> None:
            loss = objective()
            if gamma or mu:
                violation = constraint() / scale
                loss = loss + gamma * violation + mu / 2 * violation**2
            if not torch.isfinite(loss):
                raise FloatingPointError("The loss is not finite; lower learning_rate.")
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

        for _ in range(self.warm_up):
            step(0.0, 0.0)
        gamma, mu, before, c = 0.0, self.mu, float("inf"), float("inf")
        for _ in range(self.rounds):
            for _ in range(self.steps):
                step(gamma, mu)
            with torch.no_grad():
                c = float(constraint()) / scale
            if c <= self.tolerance:
                break
            gamma += mu * c
            mu = mu * self.growth if c > self.progress * before else mu
            before = c
        return c
