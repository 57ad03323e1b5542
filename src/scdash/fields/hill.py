"""PHOENIX's activations of expression x: phi_S below, and phi_P = log(1 + phi_S), finite since phi_S > -1."""

from torch import Tensor


def hill_sums(x: Tensor) -> Tensor:
    """Return phi_S(x) = (x - 1/2) / (1 + |x - 1/2|), in (-1, 1)."""
    centred = x - 0.5
    return centred / (centred.abs() + 1)
