"""PHOENIX's activations of expression x: phi_S below, and phi_P = log(1 + phi_S), finite since phi_S > -1."""

from torch import Tensor


def hill_sums(x: Tensor) -> Tensor:
    """Return phi_S(x) = (x - 1/2) / (1 + |x - 1/2|), in (-1, 1)."""
    centred = x - 0.5
    return centred / (centred.abs() + 1)


def hill_slope(phi: Tensor) -> Tensor:
    """Return d phi_S / dx = (1 - |phi_S|)^2 from phi_S itself, since 1 - |phi_S| = 1 / (1 + |x - 1/2|)."""
    return (1 - phi.abs()).square_()
