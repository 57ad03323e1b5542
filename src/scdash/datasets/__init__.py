"""Data sets that ship with scdash or are read from published files (`scdash.datasets`)."""

from typing import TYPE_CHECKING

import lazy_loader

__getattr__, __dir__, _lazy = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_krumsiek": ["krumsiek11"],
        "_papalexi": ["papalexi"],
        "_patchseq": ["patchseq_m1"],
        "_phoenix_files": ["read_phoenix"],
        "_priors": ["read_prior"],
        "_shipped": ["gene_sets", "hsmm", "myogenic_prior"],
        "_sim350": ["sim350"],
        "_yeast": ["yeast_cell_cycle"],
    },
)

if TYPE_CHECKING:
    from scdash.datasets._krumsiek import krumsiek11
    from scdash.datasets._papalexi import papalexi
    from scdash.datasets._patchseq import patchseq_m1
    from scdash.datasets._phoenix_files import read_phoenix
    from scdash.datasets._priors import read_prior
    from scdash.datasets._shipped import gene_sets, hsmm, myogenic_prior
    from scdash.datasets._sim350 import sim350
    from scdash.datasets._yeast import yeast_cell_cycle

__all__ = [
    "gene_sets",
    "hsmm",
    "krumsiek11",
    "myogenic_prior",
    "papalexi",
    "patchseq_m1",
    "read_phoenix",
    "read_prior",
    "sim350",
    "yeast_cell_cycle",
]
