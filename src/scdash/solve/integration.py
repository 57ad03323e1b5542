"""Solving dx/dt = f(x) for batches whose examples have their own times."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from scdash._core.errors import NonFiniteError, check_choice, check_least
from scdash.solve.rk4 import rk4_interval, rk4_interval_timed

# names of torchdiffeq's solvers with an error estimate (tolerances) and without (fixed steps)
ADAPTIVE = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun")
FIXED = ("euler", "midpoint", "heun3", "explicit_adams", "implicit_adams")
SOLVERS = ("rk4", *ADAPTIVE, *FIXED)


def integrate(
    velocity: Callable[..., Tensor],
    x0: Tensor,  # states at the first time, (models, batch, state)
    times: Tensor,
    *,
    solver: str = "rk4",
    steps: int = 4,  # equal steps per interval, for solvers with fixed steps
    rtol: float = 1e-4,
    atol: float = 1e-6,
    adjoint: bool = False,
    parameters: Iterable[Tensor] = (),
    takes_time: bool = False,
) -> Tensor:
    r"""Solve dx/dt = f(x) from `x0` and return the states at `times`, (K + 1, models, batch, state).

    All examples are integrated in one batched solve: over each interval time is rescaled to s in [0, 1] for every
    example by itself, dx/ds = (t_{k+1} - t_k) f(x).

    `velocity`: x -> dx/dt, e.g. `field.bind(params)`; with `takes_time` (t, x) -> dx/dt, where t broadcasts against x.
    `times`: (K + 1,), or one row per example, (batch, K + 1) or (models, batch, K + 1); the first is the time of `x0`.
    `solver`: "rk4" (our own) or a solver of torchdiffeq: adaptive ones obey `rtol` and `atol`, fixed ones `steps`.
    `adjoint`: compute gradients by solving the adjoint equation backwards (memory does not grow with the number of
    steps; slower and only as exact as the tolerances). `parameters` are then the tensors to differentiate by.
    """
    start, duration = intervals(x0, times)
    check_least("steps", steps, 1)
    if solver == "rk4" and not adjoint:
        x, path = x0, [x0]
        for t, dt in zip(start, duration, strict=True):
            x = rk4_interval_timed(velocity, x, t, dt, steps) if takes_time else rk4_interval(velocity, x, dt, steps)
            path.append(x)
        return torch.stack(path)
    check_choice("solver", solver, SOLVERS)
    options: dict[str, Any] = {"method": solver, "rtol": rtol, "atol": atol}
    if solver not in ADAPTIVE:
        options["options"] = {"step_size": 1 / steps}
    if adjoint:
        options["adjoint_params"] = tuple(p for p in parameters if p.requires_grad)
        if torch.is_grad_enabled() and not options["adjoint_params"]:
            raise ValueError("adjoint=True needs `parameters`, the tensors to differentiate by; found none.")
    x, path = x0, [x0]
    for t, dt in zip(start, duration, strict=True):
        x = _torchdiffeq(velocity, x, t, dt, takes_time=takes_time, adjoint=adjoint, options=options)
        path.append(x)
    return torch.stack(path)


def require_finite(states: Tensor, what: str, remedy: str) -> Tensor:
    """Return `states`, or raise NonFiniteError saying where the first non-finite entry is and what to change."""
    finite = torch.isfinite(states)
    if bool(finite.all()):
        return states
    where = tuple(int(i) for i in (~finite).nonzero()[0])
    raise NonFiniteError(f"{what} is not finite, first at {where} of shape {tuple(states.shape)}. {remedy}")


def intervals(x0: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """Return start and length of every interval, each (K, models or 1, batch or 1, 1)."""
    if x0.ndim != 3:
        raise ValueError(f"x0 must be (models, batch, state), found shape {tuple(x0.shape)}.")
    shapes = {1: (), 2: (x0.shape[1],), 3: (x0.shape[0], x0.shape[1])}
    found = shapes.get(times.ndim)
    fits = found is not None and all(a in (1, b) for a, b in zip(times.shape[:-1], found, strict=True))
    if not fits or times.shape[-1] < 1:
        raise ValueError(
            f"times must be (K + 1,), (batch, K + 1) or (models, batch, K + 1) for x0 {tuple(x0.shape)}, "
            f"found shape {tuple(times.shape)}."
        )
    times = times.reshape((1,) * (3 - times.ndim) + times.shape).to(x0.device)
    ordered = times.movedim(-1, 0)[..., None]
    return ordered[:-1].to(x0.dtype), ordered.diff(dim=0).to(x0.dtype)  # subtract before precision is lost


def _torchdiffeq(
    velocity: Callable[..., Tensor],
    x: Tensor,
    start: Tensor,
    duration: Tensor,
    *,
    takes_time: bool,
    adjoint: bool,
    options: dict[str, Any],
) -> Tensor:
    import torchdiffeq

    def rescaled(s: Tensor, state: Tensor) -> Tensor:
        return duration * (velocity(start + s * duration, state) if takes_time else velocity(state))

    unit = torch.tensor([0.0, 1.0], dtype=x.dtype, device=x.device)
    solve = torchdiffeq.odeint_adjoint if adjoint else torchdiffeq.odeint
    try:
        end: Tensor = solve(rescaled, x, unit, **options)[-1]
    except AssertionError as error:  # how torchdiffeq reports a step that underflows or a state that is not finite
        raise NonFiniteError(
            f"The solver {options['method']!r} gave up ({error}): the state leaves the finite numbers or changes too "
            "fast. Shorten the time span, loosen `rtol` and `atol`, or use solver='rk4' with more `steps`."
        ) from error
    return end
