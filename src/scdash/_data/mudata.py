"""MuData made or copied by us, without the columns that mudata 0.3 pulls up from the modalities."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

Paired = TypeVar("Paired", "AnnData", "MuData")


@contextmanager
def without_pulling() -> Iterator[None]:
    """Give mudata 0.3 the default of 0.4 inside the block: no columns pulled into obs and var, no warning about it."""
    import mudata

    try:
        option = mudata.set_options(pull_on_update=False)
    except (AttributeError, ValueError):  # versions without the option never pull
        yield
        return
    with option:
        yield


def make_mudata(modalities: "dict[str, AnnData]") -> "MuData":
    """Join modalities; obs and var of the MuData stay empty."""
    import mudata

    with without_pulling():
        return mudata.MuData(modalities)


def copy_paired(data: Paired) -> Paired:
    """Copy a MuData (or an AnnData) with nothing added to it."""
    with without_pulling():
        copied: Paired = data.copy()
        return copied
