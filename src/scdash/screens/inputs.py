"""From AnnData to a perturbation screen: gene choice, labels, checks and a lazy reader of its cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.fit_settings import FitSettings
from scdash._core.logging import logger
from scdash._core.types import Genes, PriorLike
from scdash._data import AlignedPrior, Cells, Expression, expression, gene_mask, obs_column, prior_from, read_labels
from scdash._data.checks import flag_genes
from scdash._data.screen import Screen, parse_screen
from scdash.models import PerturbODE
from scdash.screens.batches import Groups, centre_batches, leave_out_unlabelled, read_groups, with_replicates
from scdash.screens.selection import enough_cells, least_cells, without
from scdash.screens.targets import named_targets
from scdash.screens.times.sampled import (
    SampledTimes,
    check_times,
    read_sampled_times,
    with_timed_replicates,
)
from scdash.screens.values import check_values

LARGEST = 3000  # genes taken without being asked which


@dataclass(frozen=True)
class ScreenRequest:
    """Where a screen lies in AnnData and what of it is read; see `scdash.tl.fit_perturbode`."""

    perturbation_key: str = "perturbation"
    control: str | Sequence[str] = "control"
    layer: str | None = None
    mask_var: Genes | None = None
    prior: PriorLike | None = None
    regulators: Genes | None = None
    allow_scaled: bool = False
    model: PerturbODE = field(default_factory=PerturbODE)
    batch_key: str | None = None
    time_key: str | None = None

    @property
    def controls(self) -> tuple[str, ...]:
        """Labels of unperturbed cells."""
        return (self.control,) if isinstance(self.control, str) else tuple(self.control)

    def params(self, inputs: "ScreenInputs") -> dict[str, Any]:
        """Return what is stored with a fit of `inputs`; genes, prior and regulators are stored as such."""
        model = self.model
        kind = model.kind if model.kind_key is None else _seen_kinds(inputs.whole)
        return {
            "perturbation_key": self.perturbation_key,
            "control": list(self.controls),
            "separator": model.separator,
            "kind": kind if isinstance(kind, str) else _kind_table(kind),
            "kind_key": model.kind_key,
            "batch_key": self.batch_key,
            "sampled_time_key": self.time_key,
            "guide_key": model.guide_key,
            "symbols": inputs.symbols,
            "values": model.values,
            "layer": self.layer,
            "min_cells": inputs.min_cells,
            "unknown_targets": model.unknown_targets,
            "sources": model.sources,
            "hold_out": list(model.hold_out),
            "allow_scaled": self.allow_scaled,
        }

    @classmethod
    def of_fit(cls, adata: AnnData, entry: Any, key: str = "dynamics") -> Self:
        """Return the request behind a stored fit, to read the same screen again."""
        params, edges, settings = entry["params"], entry["edges"], FitSettings.of(entry, key)
        kind_key, unknown = settings.text("kind_key"), str(params["unknown_targets"])
        prior = edges.loc[np.asarray(edges["in_prior"], dtype=bool), ["source", "target"]].astype(str)
        regulators = params.get("regulators")
        return cls(
            perturbation_key=str(params["perturbation_key"]),
            control=[str(c) for c in params["control"]],
            layer=settings.layer_of(adata, None),
            batch_key=settings.text("batch_key"),
            time_key=settings.text("sampled_time_key"),
            mask_var=np.asarray(adata.var_names.isin([str(g) for g in entry["genes"]])),
            prior=prior if len(prior) else None,
            regulators=None if regulators is None else [str(g) for g in regulators],
            allow_scaled=bool(params.get("allow_scaled", False)),
            model=PerturbODE(
                separator=str(params["separator"]),
                kind=PerturbODE.kind if kind_key is not None else stored_kind(params["kind"]),
                kind_key=kind_key,
                guide_key=settings.text("guide_key"),
                symbols=settings.text("symbols"),
                values="log fold change" if settings.text("values") == "log fold change" else "log expression",
                min_cells=int(params["min_cells"]),
                unknown_targets="drop" if unknown == "drop" else "keep" if unknown == "keep" else "error",
                hold_out=[str(name) for name in params["hold_out"]],
                sources=cast("Literal['auto', 'perturbed', 'all']", str(params.get("sources", "auto"))),
            ),
        )


def stored_kind(stored: Any) -> str | dict[str, str]:
    """Return the kind(s) of intervention as they were given, from what h5ad returns."""
    if isinstance(stored, pd.DataFrame):
        return dict(zip(stored["name"].astype(str), stored["kind"].astype(str), strict=True))
    return {str(k): str(v) for k, v in stored.items()} if isinstance(stored, Mapping) else str(stored)


LABELS_OF_MODEL = ("separator", "kind", "kind_key", "guide_key", "symbols", "values", "unknown_targets")
"""Fields of `scdash.models.PerturbODE` that a fit has stored and that say how labels are read."""


def _seen_kinds(screen: Screen) -> str | dict[str, str]:
    """Return the kind of all perturbations, or that of each by name, for predictions of perturbations not seen."""
    kinds = set(screen.kinds[1:])
    return kinds.pop() if len(kinds) == 1 else dict(zip(screen.names[1:], screen.kinds[1:], strict=True))


def _kind_table(kind: Mapping[str, str]) -> pd.DataFrame:
    """Return kinds by label or gene as a table: names of users are no keys of `uns`."""
    return pd.DataFrame({"name": [str(name) for name in kind], "kind": [str(value) for value in kind.values()]})


@dataclass(frozen=True)
class ScreenInputs:
    """Everything a fit of a screen reads from AnnData."""

    values: Expression
    screen: Screen  # what is fitted: cells of perturbations held out are left out
    whole: Screen  # with the perturbations held out
    columns: NDArray[np.int64]  # of the modelled genes in adata.var
    prior: sp.csr_matrix | None  # signs, row regulates column
    regulators: NDArray[np.int64] | None  # positions among the modelled genes; None: all
    dropped: pd.DataFrame  # perturbations left out, and why
    aligned: AlignedPrior | None = None  # the prior as it was given
    min_cells: int = 1  # fewest cells of a perturbation, as it was asked for or found
    symbols: str | None = None  # column of adata.var that names the targets; None: var_names do
    times: SampledTimes | None = None  # at which the cells were sampled, where they are told apart

    @property
    def cells(self) -> Cells:
        """The cells, read in blocks; each batch centred on its control cells where there are batches."""
        return Cells(self.values)

    @property
    def floor(self) -> float:
        """Lowest level that a gene can have: 0 where the data are nowhere negative, whatever batches are moved by."""
        return 0.0 if self.values.minimum >= 0 else -np.inf


def read_screen(adata: AnnData, request: ScreenRequest) -> ScreenInputs:
    """Check and read a screen; errors name the argument and the remedy. Genes: the mask UNION the targets."""
    model, controls = request.model, request.controls
    labels = read_labels(obs_column(adata, request.perturbation_key, "perturbation_key"), keep=controls)
    batch = read_groups(adata, request.batch_key, "batch_key")
    guides = read_groups(adata, model.guide_key, "guide_key")
    times = read_sampled_times(adata, request.time_key)
    kinds = None if model.kind_key is None else obs_column(adata, model.kind_key, "kind_key")
    symbols, aliases, named = named_targets(
        adata, labels, controls=controls, separator=model.separator, symbols=model.symbols
    )
    mask = gene_mask(adata, request.mask_var, limit=LARGEST) | adata.var_names.isin(named)
    columns = np.flatnonzero(mask)
    values = expression(adata, layer=request.layer, genes=adata.var_names[columns])
    check_values(adata, values, changes=model.of_changes, allow_scaled=request.allow_scaled)
    screen = parse_screen(
        labels,
        values.genes,
        control=request.control,
        separator=model.separator,
        kind=model.kind,
        kinds=kinds,
        missing=model.unknown_targets,
        aliases=aliases,
        needs_control=not model.of_changes,
    )
    screen = leave_out_unlabelled(screen, None if batch is None else batch[0], "batch")
    screen = leave_out_unlabelled(screen, None if times is None else times.cells, "time")
    min_cells = least_cells(screen, model.min_cells)
    whole, dropped = enough_cells(screen, min_cells, needs_control=not model.of_changes)
    times = None if times is None else check_times(times, whole, needs_control=not model.of_changes)
    values, whole = _centred(values, whole, times, guides, batch, min_cells)
    screen = without(whole, model.hold_out)
    _check_perturbed(screen, request, min_cells)
    aligned = None if request.prior is None else prior_from(adata, request.prior, genes=values.genes)
    regulators = None
    if request.regulators is not None:
        regulators = flag_genes(adata, request.regulators, values.genes, "regulators")
    logger.info(
        "    %d perturbations and the control, %d genes, %d cells",
        screen.n_perturbations - 1,
        len(columns),
        screen.counts.sum(),
    )
    signs = None if aligned is None else aligned.signs
    return ScreenInputs(
        values,
        screen,
        whole,
        columns,
        signs,
        regulators,
        dropped,
        aligned,
        min_cells=min_cells,
        symbols=symbols,
        times=times,
    )


def _centred(
    values: Expression,
    screen: Screen,
    times: SampledTimes | None,
    guides: Groups | None,
    batch: Groups | None,
    min_cells: int,
) -> tuple[Expression, Screen]:
    """Return the cells without offsets between batches, or between sampled times, and the screen with its replicates."""
    if times is None:
        return centre_batches(values, screen, batch, min_cells), with_replicates(screen, guides, batch)
    screen = with_timed_replicates(screen, times, batch if guides is None else guides)
    if screen.counts[0]:
        argument = "time_key" if batch is None else "time_key and batch_key"
        values = centre_batches(values, screen, times.groups(batch), min_cells, argument=argument)
    return values, screen


def _check_perturbed(screen: Screen, request: ScreenRequest, min_cells: int) -> None:
    """Raise where nothing is left that equations could be fitted to, or control cells are missing that would be carried."""
    if request.model.way == "transport" and request.time_key is not None:
        raise ValueError(
            "time_key is for PerturbODE(fit='equilibrium'): fit='transport' carries every control cell for one and the same "
            "duration onto the cells of a perturbation, as in the paper, whenever these were sampled. Leave time_key out, or fit "
            "the cells of one time."
        )
    if request.model.way == "transport" and not screen.counts[0]:
        raise ValueError("fit='transport' carries control cells, of which there are none; use fit='equilibrium'.")
    if screen.n_perturbations < 2:
        raise ValueError(
            f"perturbation_key={request.perturbation_key!r}: no perturbation that is not held out has {min_cells} cells "
            "or more; accept fewer with PerturbODE(min_cells=...)."
        )
    if screen.hidden[1:].all():
        raise ValueError(
            f"perturbation_key={request.perturbation_key!r}: no target of a perturbation is a gene of the data, so that no "
            "regulator was perturbed. Where the targets are symbols and the genes are not, name the column of adata.var with "
            "the symbols as symbols."
        )
