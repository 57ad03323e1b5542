"""Solving ordinary differential equations: our own rk4, everything else through torchdiffeq (imported only here)."""

from scdash.solve._converged import Converged, converged
from scdash.solve._integrate import SOLVERS, integrate, require_finite
from scdash.solve._rk4 import rk4_interval
from scdash.solve._rk4_path import rk4_path
from scdash.solve._step import StepError, step_error

__all__ = [
    "SOLVERS",
    "Converged",
    "StepError",
    "converged",
    "integrate",
    "require_finite",
    "rk4_interval",
    "rk4_path",
    "step_error",
]
