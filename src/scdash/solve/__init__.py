"""Solving ordinary differential equations: our own rk4, everything else through torchdiffeq (imported only here)."""

from scdash.solve.integration import SOLVERS, integrate, require_finite
from scdash.solve.rk4 import rk4_interval
from scdash.solve.step_halving import Converged, converged, step_error
