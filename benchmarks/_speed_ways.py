"""One training epoch of PHOENIX with hidden units, four ways: the authors', torchdiffeq batched, ours, and its bound."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from scdash.fields import Params, Phoenix
from scdash.sparsity import as_sparsity, prune_to
from scdash.training import Examples, Problem, TrainConfig, run_epoch, start_state

BATCH, STEPS = 28, 4  # pairs a step, rk4 steps a pair: the settings of Phoenix(encoder="modules")
RTOL, ATOL = 1e-7, 1e-9  # the authors' tolerances
INTERVALS = (2.0, 1.0, 4.0, 2.0)  # between the times 0, 2, 3, 7, 9 of SIM350


def cpu(
    function: Callable[[], object],
    repeats: int,
    *,
    warm: bool = True,
    clock: Callable[[], float] = time.process_time,
) -> float:
    """Return CPU seconds a call, of all threads; wall time (another clock) would measure what else the machine does."""
    if warm:
        function()
    began = clock()
    for _ in range(repeats):
        function()
    return (clock() - began) / repeats


def make(n: int, units: int, pairs: int, density: float = 1.0) -> tuple[Phoenix, Params, Params, Examples]:
    """Return a PHOENIX with random weights of some density, its masks, and random pairs as far apart as SIM350's."""
    generator = torch.Generator().manual_seed(0)
    field = Phoenix(n, encoder="modules", n_hidden=units)
    params = field.init(1, generator)
    for name in ("W_sums", "W_prods"):  # the released start is sparse already; training fills it
        params[name] += 0.01 * torch.randn(params[name].shape, generator=generator)
    masks: Params = {}
    if density < 1:
        params, masks = prune_to(field, params, 1 - density)
    start, end = torch.rand(2, pairs, n, generator=generator)
    intervals = torch.tensor(INTERVALS).repeat(pairs // len(INTERVALS) + 1)[:pairs]
    times = torch.stack([torch.zeros(pairs), intervals], dim=1)
    return field, params, masks, Examples(start, times, end[None])


def ours(n: int, units: int, pairs: int, density: float = 1.0) -> float:
    """Return CPU seconds of one epoch of our loop: batches, Adam, masks, validation on a tenth of the pairs."""
    field, params, masks, examples = make(n, units, pairs, density)
    held = replace(
        examples,
        start=examples.start[: pairs // 10],
        times=examples.times[: pairs // 10],
        targets=examples.targets[:, : pairs // 10],
    )
    config = TrainConfig(batch_size=BATCH, steps=STEPS, learning_rate=1e-5)
    problem = Problem(field, as_sparsity("none"), examples, held, config)
    state = start_state(problem, params, masks)
    return cpu(lambda: run_epoch(problem, state), max(3, 7000 // n))


class Released(nn.Module):
    """PHOENIX as a module called with (t, x), one state at a time, in the manner of the released training."""

    def __init__(self, params: Params) -> None:
        super().__init__()
        self.weights = nn.ParameterDict({name: nn.Parameter(value[0].clone()) for name, value in params.items()})

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Return dx/dt."""
        w = self.weights
        centred = x - 0.5
        phi = centred / (1 + centred.abs())
        sums = phi @ w["W_sums"].T + w["b_sums"]
        prods = torch.exp(torch.log1p(phi) @ w["W_prods"].T + w["b_prods"])
        return torch.relu(w["v"]) * (sums @ w["U_sums"].T + prods @ w["U_prods"].T - x)


def authors(n: int, units: int, pairs: int, *, tried: int) -> float:
    """Return CPU seconds an epoch, extrapolated from `tried` pairs: each integrated alone, with the adjoint."""
    from torchdiffeq import odeint_adjoint

    _, params, _, examples = make(n, units, tried)
    model = Released(params)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)

    def train() -> None:
        for start, times, end in zip(examples.start, examples.times, examples.targets[0], strict=True):
            found = odeint_adjoint(model, start[None], times, method="dopri5", rtol=RTOL, atol=ATOL)[-1, 0]
            ((found - end) ** 2).mean().backward()
        optimiser.step()
        optimiser.zero_grad()

    return cpu(train, 1, warm=False) / tried * pairs


def batched(n: int, units: int, pairs: int, *, tried: int = 1) -> float:
    """Return CPU seconds an epoch, extrapolated from `tried` batches: dopri5 at 1e-4, 1e-6, differentiated directly.

    Pairs of different length are one solve in rescaled time, as torchdiffeq has one time axis for a batch.
    """
    from torchdiffeq import odeint

    _, params, _, examples = make(n, units, BATCH * tried)
    model = Released(params)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    unit = torch.tensor([0.0, 1.0])

    def train() -> None:
        for first in range(0, BATCH * tried, BATCH):
            rows = slice(first, first + BATCH)
            length = examples.times[rows, 1:]
            found = odeint(
                lambda t, x, length=length: length * model(t, x),
                examples.start[rows],
                unit,
                method="dopri5",
                rtol=1e-4,
                atol=1e-6,
            )[-1]
            ((found - examples.targets[0, rows]) ** 2).mean().backward()
            optimiser.step()
            optimiser.zero_grad()

    return cpu(train, 1, warm=False) / tried * (pairs / BATCH)


def bound(n: int, units: int, pairs: int, *, repeats: int = 20) -> float:
    """Return CPU seconds of the dense products alone: four an evaluation, 16 evaluations a batch, thrice with gradients."""
    x, hidden = torch.rand(BATCH, n), torch.rand(BATCH, units)
    w, u = torch.rand(n, units), torch.rand(units, n)
    forward = cpu(lambda: x @ w, repeats) + cpu(lambda: hidden @ u, repeats)
    by_states = cpu(lambda: hidden @ w.T, repeats) + cpu(lambda: x @ u.T, repeats)
    by_weights = cpu(lambda: x.T @ hidden, repeats) + cpu(lambda: hidden.T @ x, repeats)
    return 2 * (forward + by_states + by_weights) * 4 * STEPS * float(np.ceil(pairs / BATCH))
