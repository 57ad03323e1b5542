"""Tools: fit models of dynamics and of paired modalities, predict, perturb, interpret (`scdash.tl`)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
