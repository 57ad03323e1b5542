"""Data sets that ship with scdash or are read from published files (`scdash.datasets`)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
