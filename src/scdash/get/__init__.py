"""Results as torch modules and tidy tables: AnnData or MuData in, nothing written (`scdash.get`)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
