"""Simulated data with known networks or latent structure (`scdash.simulate`)."""

from typing import TYPE_CHECKING

import lazy_loader

__getattr__, __dir__, _lazy = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_circuit": ["Circuit", "hill"],
        "_corrupt": ["corrupt_prior", "shuffle_prior"],
        "_grn": ["grn_dynamics"],
        "_paired": ["paired"],
        "_sergio": ["sergio"],
    },
)

if TYPE_CHECKING:
    from scdash.simulate._circuit import Circuit, hill
    from scdash.simulate._corrupt import corrupt_prior, shuffle_prior
    from scdash.simulate._grn import grn_dynamics
    from scdash.simulate._paired import paired
    from scdash.simulate._sergio import sergio

__all__ = ["Circuit", "corrupt_prior", "grn_dynamics", "hill", "paired", "sergio", "shuffle_prior"]
