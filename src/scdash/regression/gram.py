"""Weighted second moments: all that the regressions need to know of the data."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scdash._core.types import Floats, Index


@dataclass(frozen=True)
class Moments:
    """Centred, scaled second moments of features x (m, p) and targets y (m, n) under row weights."""

    features: Floats  # (m, p), centred and scaled
    targets: Floats  # (m, n)
    centre: Floats  # (p,)
    scale: Floats  # (p,)
    target_centre: Floats  # (n,)
    target_scale: Floats  # (n,)

    @classmethod
    def of(cls, x: Floats, y: Floats, weights: Floats, *, standardize: bool = True) -> "Moments":
        """Return the moments; without `standardize` features share one scale, and so do targets (roots of mean squares)."""
        fraction = weights / weights.sum()
        centre, target_centre = fraction @ x, fraction @ y
        root = np.sqrt(fraction)[:, None]
        features, targets = (x - centre) * root, (y - target_centre) * root
        scale, target_scale = np.sqrt((features**2).sum(axis=0)), np.sqrt((targets**2).sum(axis=0))
        if not standardize:
            scale = np.full_like(scale, np.sqrt((scale**2).mean()))
            target_scale = np.full_like(target_scale, np.sqrt((target_scale**2).mean()))
        scale, target_scale = np.maximum(scale, 1e-9), np.maximum(target_scale, 1e-12)
        features, targets = features / scale, targets / target_scale
        return cls(features, targets, centre, scale, target_centre, target_scale)

    @cached_property
    def gram(self) -> Floats:
        """Second moments of the features, (p, p)."""
        return self.features.T @ self.features

    def cross(self, at: slice = slice(None)) -> Floats:
        """Return second moments of the features with some targets, (p, targets)."""
        return self.features.T @ self.targets[:, at]

    def within(self, targets: Index, index: Index) -> tuple[Floats, Floats]:
        """Return Gram matrices (t, k, k) and cross moments (t, k) of some targets with features of their own, (t, k)."""
        pull = np.take_along_axis((self.features.T @ self.targets[:, targets]).T, index, axis=1)
        return self.gram[index[:, :, None], index[:, None, :]], pull

    def unscale(self, coefficients: Floats, at: slice) -> tuple[Floats, Floats]:
        """Return coefficients (..., p, targets) in units of the data and the intercepts (..., targets) of some targets."""
        raw = coefficients * self.target_scale[at] / self.scale[:, None]
        intercept = self.target_centre[at] - np.einsum("p,...pt->...t", self.centre, raw)
        return raw, intercept
