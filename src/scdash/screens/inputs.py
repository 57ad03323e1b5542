"""From AnnData to a perturbation screen: gene choice, labels, checks and a lazy reader of its cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.fit_settings import FitSettings, log_settings
from scdash._data import (
    AlignedPrior,
    Cells,
    Expression,
    check_log,
    check_scaled,
    expression,
    gene_mask,
    obs_column,
    prior_from,
    read_labels,
    scaled_by_scanpy,
)
from scdash._data._checks import flag_genes
from scdash._data._screen import Screen, parse_screen, split_label
from scdash._logging import logger
from scdash.models import PerturbODE

LARGEST = 3000  # genes taken without being asked which


@dataclass(frozen=True)
class ScreenRequest:
    """Where a screen lies in AnnData and what of it is read; see `scdash.tl.fit_perturbode`."""

    perturbation_key: str = "perturbation"
    control: str | Sequence[str] = "control"
    layer: str | None = None
    mask_var: Any = None
    prior: Any = None
    regulators: Any = None
    allow_scaled: bool = False
    model: PerturbODE = field(default_factory=PerturbODE)

    @property
    def controls(self) -> tuple[str, ...]:
        """Labels of unperturbed cells."""
        return (self.control,) if isinstance(self.control, str) else tuple(self.control)

    def params(self) -> dict[str, Any]:
        """Return what is stored with a fit; genes, prior and regulators are stored as such."""
        model = self.model
        return {
            "perturbation_key": self.perturbation_key,
            "control": list(self.controls),
            "separator": model.separator,
            "kind": model.kind if isinstance(model.kind, str) else _kind_table(model.kind),
            "layer": self.layer,
            "min_cells": model.min_cells,
            "unknown_targets": model.unknown_targets,
            "hold_out": list(model.hold_out),
            "allow_scaled": self.allow_scaled,
        }

    @classmethod
    def of_fit(cls, adata: Any, entry: Any, key: str = "dynamics") -> Self:
        """Return the request behind a stored fit, to read the same screen again."""
        params, edges = entry["params"], entry["edges"]
        prior = edges.loc[np.asarray(edges["in_prior"], dtype=bool), ["source", "target"]].astype(str)
        regulators = params.get("regulators")
        return cls(
            perturbation_key=str(params["perturbation_key"]),
            control=[str(c) for c in params["control"]],
            layer=FitSettings.of(entry, key).layer_of(adata, None),
            mask_var=np.asarray(adata.var_names.isin([str(g) for g in entry["genes"]])),
            prior=prior if len(prior) else None,
            regulators=None if regulators is None else [str(g) for g in regulators],
            allow_scaled=bool(params.get("allow_scaled", False)),
            model=PerturbODE(
                separator=str(params["separator"]),
                kind=stored_kind(params["kind"]),
                min_cells=int(params["min_cells"]),
                unknown_targets="drop" if str(params["unknown_targets"]) == "drop" else "error",
                hold_out=[str(name) for name in params["hold_out"]],
            ),
        )


def stored_kind(stored: Any) -> str | dict[str, str]:
    """Return the kind(s) of intervention as they were given, from what h5ad returns."""
    if isinstance(stored, pd.DataFrame):
        return dict(zip(stored["name"].astype(str), stored["kind"].astype(str), strict=True))
    return {str(k): str(v) for k, v in stored.items()} if isinstance(stored, Mapping) else str(stored)


def labels_like_fit(adata: Any, key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return where to read a screen: what was given, else what the fit of a screen under `key` has read.

    Names are arguments of `ScreenRequest`; those that neither names are left out.
    """
    known = {name: value for name, value in given.items() if value is not None}
    entry = getattr(adata, "uns", {}).get(key)
    if not isinstance(entry, Mapping) or "screen" not in entry:
        return known
    settings, params = FitSettings.of(entry, key), entry["params"]
    stored: dict[str, Any] = {
        "perturbation_key": str(params["perturbation_key"]),
        "control": [str(label) for label in params["control"]],
        "separator": str(params["separator"]),
        "kind": stored_kind(params["kind"]),
    }
    layer = settings.layer_of(adata, given.get("layer"))
    used = {name: value for name, value in stored.items() if name not in known}
    shown = used | ({"layer": layer} if layer is not None and "layer" not in known else {})
    log_settings(settings, shown)
    return known | used | {"layer": layer}


def _kind_table(kind: Mapping[str, str]) -> pd.DataFrame:
    """Return kinds by label or gene as a table: names of users are no keys of `uns`."""
    return pd.DataFrame({"name": [str(name) for name in kind], "kind": [str(value) for value in kind.values()]})


@dataclass(frozen=True)
class ScreenInputs:
    """Everything a fit of a screen reads from AnnData."""

    values: Expression
    screen: Screen  # what is fitted: cells of regimes held out are left out
    whole: Screen  # with the regimes held out
    columns: NDArray[np.int64]  # of the modelled genes in adata.var
    prior: sp.csr_matrix | None  # signs, row regulates column
    regulators: NDArray[np.int64] | None  # positions among the modelled genes; None: all
    dropped: pd.DataFrame  # regimes left out, and why
    aligned: AlignedPrior | None = None  # the prior as it was given

    @property
    def cells(self) -> Cells:
        """The cells, read in blocks."""
        return Cells(self.values)

    @property
    def allowed(self) -> NDArray[np.bool_] | None:
        """(regulator, target), edges that may exist; None: all."""
        if self.regulators is None:
            return None
        rows = np.isin(np.arange(len(self.columns)), self.regulators)
        return np.repeat(rows[:, None], len(self.columns), axis=1)


def read_screen(adata: Any, request: ScreenRequest) -> ScreenInputs:
    """Check and read a screen; errors name the argument and the remedy. Genes: the mask UNION the targets."""
    labels = read_labels(obs_column(adata, request.perturbation_key, "perturbation_key"), keep=request.controls)
    names = set(adata.var_names.astype(str))
    named = {
        g
        for label in labels.cat.categories
        for g in split_label(str(label), control=request.controls, separator=request.model.separator, genes=names)
    }
    mask = gene_mask(adata, request.mask_var, limit=LARGEST) | adata.var_names.isin(named)
    columns = np.flatnonzero(mask)
    values = expression(adata, layer=request.layer, genes=adata.var_names[columns])
    check_log(values)
    check_scaled(values, states=False, known=scaled_by_scanpy(adata), allow=request.allow_scaled)
    screen = parse_screen(
        labels,
        values.genes,
        control=request.control,
        separator=request.model.separator,
        kind=request.model.kind,
        missing=request.model.unknown_targets,
    )
    whole, dropped = _enough_cells(screen, request.model.min_cells)
    screen = _without(whole, request.model.hold_out)
    if screen.n_regimes < 2:
        raise ValueError(
            f"perturbation_key={request.perturbation_key!r}: no perturbed regime that is not held out has "
            f"{request.model.min_cells} cells or more; lower min_cells."
        )
    aligned = None if request.prior is None else prior_from(adata, request.prior, genes=values.genes)
    regulators = None
    if request.regulators is not None:
        regulators = flag_genes(adata, request.regulators, values.genes, "regulators")
    logger.info(
        "    %d regimes and the control, %d genes, %d cells", screen.n_regimes - 1, len(columns), screen.counts.sum()
    )
    signs = None if aligned is None else aligned.signs
    return ScreenInputs(values, screen, whole, columns, signs, regulators, dropped, aligned)


def _without(screen: Screen, names: Sequence[str]) -> Screen:
    """Return the screen without some regimes, by name."""
    held = np.zeros(screen.n_regimes, bool)
    for name in (names,) if isinstance(names, str) else names:
        at = screen.index(str(name))
        if at == 0:
            raise ValueError(f"hold_out: {name!r} is the control, which every fit needs.")
        held[at] = True
    return screen.keep(~held) if held.any() else screen


def _enough_cells(screen: Screen, min_cells: int) -> tuple[Screen, pd.DataFrame]:
    counts = screen.counts
    if counts[0] < min_cells:
        raise ValueError(
            f"control: only {counts[0]} control cells ({screen.names[0]!r}), at least {min_cells} are needed "
            f"(min_cells)."
        )
    few = counts < min_cells
    few[0] = False
    names = np.asarray(screen.names, dtype=object)[few]
    if few.any():
        logger.warning(
            "%d regime(s) with fewer than %d cells are left out: %s", few.sum(), min_cells, ", ".join(names[:5])
        )
    table = pd.DataFrame({"regime": names.astype(str), "cells": counts[few], "reason": "too few cells"})
    return (screen.keep(~few) if few.any() else replace(screen)), table
