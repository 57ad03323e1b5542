"""Figures of merit of networks and predictions: NumPy, SciPy and pandas only, sparse all the way.

A network is given as a matrix (CSR or dense, ROW REGULATES COLUMN), as a table with columns ``source``, ``target`` and
optionally ``weight``, or as the AnnData a model was fitted to.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
