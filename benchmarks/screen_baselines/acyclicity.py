"""How far a weighted graph is from an acyclic one, and the largest acyclic part of a ranking."""

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from benchmarks.screen_baselines.inputs import Floats


class SpectralRadius:
    """The spectral radius of a positive matrix, 0 for an acyclic graph (Lopez et al. 2022, "spectral" constraint).

    Its gradient is u v^T / (u^T v) for the left and right Perron vectors u and v. They are followed by power iteration
    from where the last call has left them; the shift by the last estimate keeps a two-cycle from flipping them.
    """

    def __init__(self, size: int, iterations: int = 10) -> None:
        self.left = torch.ones(size, dtype=torch.float64)
        self.right = torch.ones(size, dtype=torch.float64)
        self.iterations = iterations

    def __call__(self, matrix: Tensor) -> Tensor:
        """Return the radius of `matrix` (size, size)."""
        exact = matrix.double()
        with torch.no_grad():
            shift = self._radius(exact)
            for _ in range(self.iterations):
                self.right = exact @ self.right + shift * self.right
                self.left = self.left @ exact + shift * self.left
                self.right, self.left = (v / v.sum().clamp_min(1e-300) for v in (self.right, self.left))
        return self._radius(exact)

    def _radius(self, matrix: Tensor) -> Tensor:
        overlap = (self.left @ self.right).clamp_min(1e-300)
        return (self.left @ matrix @ self.right) / overlap


def is_acyclic(edges: np.ndarray) -> bool:
    """Say whether a (genes, genes) array of edges has no directed cycle and no self edge."""
    if np.diag(edges).any():
        return False
    parts, _ = connected_components(csr_array(edges.astype(np.int8)), directed=True, connection="strong")
    return bool(parts == len(edges))


def largest_acyclic_threshold(score: Floats, evaluations: int = 20) -> float:
    """Return the lowest threshold above which the edges form no cycle, by bisection (Lopez et al. 2022)."""
    levels = np.unique(np.abs(score))
    low, high = -1, len(levels) - 1  # above the highest level there is no edge
    for _ in range(evaluations):
        if high - low <= 1:
            break
        middle = (low + high) // 2
        if is_acyclic(np.abs(score) > levels[middle]):
            high = middle
        else:
            low = middle
    return float(levels[high])
