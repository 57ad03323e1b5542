"""Reading what a fit has stored in `uns`: one format number, defaults for missing settings, errors that name versions.

Every function that reads a result of another function goes through `open_record`. A file may have been written by an
earlier version of the package (settings are missing) or by a later one (the format is not known).
"""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

# 1: before the number existed; trajectories of resampled cells were known by "#" in their names. 2: errors under "controls", the
# network that of the regression; screens without what own perturbations show.
FORMAT = 4
NESTED = ("params", "series", "screen", "scales", "masks", "prior", "metrics")

# What a setting meant before it could be chosen.
DYNAMICS: dict[str, Any] = {
    "model": "phoenix",
    "sparsity": "dash",
    "encoder": "genes",
    "start": "auto",
    "scale": "matched",
    "no_prior_targets": "mean",
    "n_models": 1,
    "rng": 0,
    "cells": False,
    "slope": 1.0,
    "time_key": "dpt_pseudotime",
    "trajectory_key": None,
    "batch_key": None,
    "split_key": None,
    "layer": None,
}
SCREEN: dict[str, Any] = {
    "model": "perturbode",
    "field": "perturbode",
    "field_config": {},
    "fit": "equilibrium",
    "sparsity": "dash",
    "regulators": None,
    "perturbation_key": "perturbation",
    "control": ["control"],
    "separator": "+",
    "kind": "overexpression",
    "kind_key": None,
    "batch_key": None,
    "guide_key": None,
    "symbols": None,
    "values": "log expression",
    "layer": None,
    "min_cells": 10,
    "unknown_targets": "error",
    "hold_out": [],
    "n_folds": 5,
    "rng": 0,
    "prior_weight": 5.0,
    "activating": False,
    "hubs": False,
    "mcp": None,
    "untried": 1.0,
    "believed": True,
    "explained": 0.0,
}
PAIRED: dict[str, Any] = {"x": "rna", "y": "ephys", "layer": None, "y_layer": None, "missing": "raise", "rng": 0}


class FitFormatError(KeyError, ValueError):
    """A stored result cannot be read by this version of the package; the message names both versions."""

    def __str__(self) -> str:  # KeyError shows its repr, which makes a sentence unreadable
        return str(self.args[0])


class Record(dict[str, Any]):
    """A stored result. Asking for an entry that is not there raises an error that names both versions."""

    context = "This result"

    def __missing__(self, name: str) -> Any:
        raise FitFormatError(f"{self.context} It holds no {name!r}.")


def own_version() -> str:
    """Return the version of this package."""
    try:
        return version("scdash")
    except PackageNotFoundError:
        return "unknown"


def stamp(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return `entry` with the number of the format and the version that writes it."""
    return {**entry, "format": FORMAT, "written_by": own_version()}


def open_record(entry: Mapping[str, Any], slot: str, remedy: str) -> Record:
    """Return a stored result with defaults for settings that did not exist when it was written.

    `entry`: what is stored; it is not changed. `slot`: where, for messages, such as `adata.uns['dynamics']`. `remedy`:
    the call that makes the result anew, for messages.
    """
    number = _format_of(entry)
    context = (
        f"{slot} cannot be read: it was written by scdash {_writer(entry)} (format {number}), and this is scdash "
        f"{own_version()}, which reads formats up to {FORMAT}. Fit again with `{remedy}`, or use the version that wrote it."
    )
    if not isinstance(number, int) or number > FORMAT:
        raise FitFormatError(context)
    found = _record(entry, context)
    for name in NESTED:
        if isinstance(found.get(name), Mapping):
            found[name] = _record(found[name], context)
    if "params" in found:
        if not isinstance(found["params"], Record):
            raise FitFormatError(f"{context} Its params are no table of settings but {found['params']!r:.60}.")
        for name, value in _defaults(found).items():
            found["params"].setdefault(name, value)
    series = found.get("series")
    if number < 2 and isinstance(series, Record) and "trajectory" in series and "origin" not in series:
        series["origin"] = origins_of_format_1(series["trajectory"])
    return found


def origins_of_format_1(trajectory: Any) -> Any:
    """Return the trajectory whose cells each row is made of, by the names that format 1 gave to resampled ones."""
    names = [str(name) for name in trajectory]
    known = set(names)
    parent = {name: name.rpartition("#")[0] for name in known}
    return np.array([parent[name] if parent[name] in known else name for name in names], dtype=object)


def _record(entry: Mapping[str, Any], context: str) -> Record:
    found = Record(_with_object_texts(entry))
    found.context = context
    return found


def _with_object_texts(value: Any) -> Any:
    """Return a value with arrays of texts as h5ad gives them: zarr's own type of text cannot be turned into that of NumPy."""
    if isinstance(value, Mapping):
        return {name: _with_object_texts(part) for name, part in value.items()}
    return value.astype(object) if isinstance(value, np.ndarray) and value.dtype.kind == "T" else value


def _format_of(entry: Mapping[str, Any]) -> Any:
    number = entry.get("format", 1)
    try:
        return int(np.asarray(number).item())
    except (TypeError, ValueError):
        return str(number)


def _writer(entry: Mapping[str, Any]) -> str:
    params = entry.get("params")
    versions = params.get("versions") if isinstance(params, Mapping) else None
    known = versions.get("scdash") if isinstance(versions, Mapping) else None
    return str(known or entry.get("written_by") or "(version not stored)")


def _defaults(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults that belong to the kind of result."""
    if "screen" in entry:
        return SCREEN
    if "features" in entry or "scales" in entry:
        return PAIRED
    return DYNAMICS if "series" in entry or "edges" in entry else {}
