"""MuData made or copied by us, without the columns that mudata 0.3 pulls up from the modalities."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar

from scdash._core.logging import logger

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


def refuse_view(data: Paired) -> None:
    """Raise where results cannot be written, because `data` is a view of another MuData."""
    if hasattr(data, "mod") and getattr(data, "is_view", False):
        raise ValueError("mdata is a view of another MuData; results cannot be written to it. Use mdata.copy() first.")


def writable(data: Paired, *, copy: bool) -> Paired:
    """Return the object that results are written to: a copy with nothing added, or `data` itself.

    A view of an AnnData gets data of its own, as anndata would do at the first slot that is written, with a warning.
    """
    if copy:
        with without_pulling() if hasattr(data, "mod") else nullcontext():
            copied: Paired = data.copy()
            return copied
    refuse_view(data)
    if getattr(data, "is_view", False):
        logger.info(
            "    adata is a view of another object: it gets a copy of its data, and results are written to that"
        )
        data.uns = dict(data.uns)
    return data
