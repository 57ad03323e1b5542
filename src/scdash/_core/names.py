"""The check of every name under which a result is written."""

FORBIDDEN = "/"  # HDF5 and zarr read it as a path


def check_key(key: object, argument: str = "key_added") -> str:
    """Return `key`, or raise unless it can name slots of AnnData and MuData that are written to h5ad and zarr."""
    if not isinstance(key, str):
        raise ValueError(f"{argument} must be a string without '/', found {key!r} ({type(key).__name__}).")
    if not key.strip() or key.strip(".") == "" or FORBIDDEN in key or "\0" in key:
        raise ValueError(
            f"{argument} must be a non-empty string without '/' (HDF5 and zarr read it as a path), found {key!r}. "
            f"Choose another name, for example {suggestion(key)!r}."
        )
    return key


def suggestion(key: str) -> str:
    """Return a name near `key` that can be written.

    >>> suggestion("prior/chip")
    'prior_chip'
    """
    return key.replace(FORBIDDEN, "_").replace("\0", "_").strip(" .") or "result"
