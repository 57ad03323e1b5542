"""Preprocessing: normalise, order cells, smooth them into trajectories, align priors (`scdash.pp`)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
