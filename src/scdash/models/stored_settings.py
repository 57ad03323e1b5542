"""The arguments of a call as a fit stores them, and reading them back to repeat the fit."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scdash._core.fit_settings import DATA_KEYS, FitSettings
from scdash._core.keys import genes_of, require_fit
from scdash._core.values import call_text, read_value, shown
from scdash._data import AlignedPrior
from scdash._data.time_series.observations import Cells, Samples
from scdash.fields import DEFINED, FIELDS, VectorField
from scdash.models import MODELS, Transport
from scdash.regression import Regression
from scdash.resampling.validation import Validation
from scdash.sparsity import METHODS, SPARSITIES, GeometricSchedule, Sparsity
from scdash.training import Training

if TYPE_CHECKING:
    from anndata import AnnData


VALUES: tuple[type, ...] = (Cells, Samples, Training, Validation, Regression, GeometricSchedule, Transport)


@dataclass(frozen=True)
class GivenMatrices:
    """In place of matrices that a fit was given and does not store: whoever repeats the fit gives them again."""


def stored_arguments(arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts of those arguments that differ from their defaults; `settings_of_fit` reads them.

    Tables are left out, and so is the file of a checkpoint, which a fit that is repeated must not continue.
    """
    found = {}
    for name, value in arguments.items():
        text = _text(_portable(value))
        if text != _text(defaults[name]):
            found[name] = text
    return found


def stored_tables(prior: AlignedPrior | None, coregulation: AlignedPrior | None = None) -> dict[str, pd.DataFrame]:
    """Return the edges that a fit was given, as tables by the name of their argument."""
    given = {"prior": prior, "coregulation": coregulation}
    return {name: aligned.edges for name, aligned in given.items() if aligned is not None}


def settings_of_fit(adata: "AnnData", key: str, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the arguments of `scdash.tl.fit_dynamics` that repeat the fit under `adata.uns[key]`.

    Arguments that are named in `without` are left out; they need not be readable then.
    """
    if hasattr(adata, "mod"):
        raise TypeError(
            "settings are those of a fit of an AnnData, found a MuData: the arguments of a fit of paired modalities are in "
            f"mdata.uns[{key!r}]['params']."
        )
    entry = require_fit(adata, key)
    params, tables = entry["params"], entry.get("given") or {}
    if "screen" in entry and str(params["fit"]) not in ("equilibrium", "transport"):
        raise ValueError(
            f"uns[{key!r}] is the baseline {params['model']!r}: run scdash.tl.screen_baseline again for it."
        )
    settings = FitSettings.of(entry, key)
    texts = dict(params["arguments"])
    found = {str(name): _value(str(text), str(name), key) for name, text in texts.items() if name not in without}
    if "prior" in tables and "prior" not in without:
        found["prior"] = _edges(tables["prior"])
    if "coregulation" in tables and is_dataclass(found.get("sparsity")):
        found["sparsity"] = replace(found["sparsity"], coregulation=_edges(tables["coregulation"]))
    genes = genes_of(adata, entry, key)
    found |= _data(entry, settings, [str(name) for name in genes.names[genes.present]])
    return {name: value for name, value in found.items() if name not in without}


def stored_observations(adata: "AnnData", key: str) -> Samples | Cells | None:
    """Return by which columns the fit under `key` has read its rows: those of predecessors, or a pseudotime within times.

    None without such a fit, or where it was told of no such column.
    """
    entry = adata.uns.get(key)
    params = entry.get("params") if isinstance(entry, Mapping) else None
    texts = params.get("arguments") if isinstance(params, Mapping) else None
    text = "" if texts is None else str(texts.get("observations", ""))
    found = (
        _value(text, "observations", key) if text.startswith((f"{Samples.__name__}(", f"{Cells.__name__}(")) else None
    )
    if isinstance(found, Cells):
        return None if found.pseudotime_key is None else replace(found, couplings=None)
    return found if isinstance(found, Samples) else None


def _data(entry: Mapping[str, Any], settings: FitSettings, genes: list[str]) -> dict[str, Any]:
    """Return the arguments about columns, layer, genes and regulators, those of screens as a screen has stored them."""
    params = entry["params"]
    found: dict[str, Any] = {"mask_var": genes, "rng": int(params["rng"])}
    if "screen" in entry:
        found |= {"perturbation_key": str(params["perturbation_key"])}
        found |= {"control": [str(label) for label in params["control"]]}
        layer = settings.text("layer")
        found |= {} if layer is None else {"layer": layer}
    else:
        found |= {name: text for name in DATA_KEYS if (text := settings.text(name)) is not None}
    if params.get("regulators") is not None:
        found["regulators"] = [str(gene) for gene in params["regulators"]]
    return found


def _edges(table: pd.DataFrame) -> pd.DataFrame:
    """Return a stored table of edges as it was given."""
    return pd.DataFrame(
        {
            "source": table["source"].astype(str).to_numpy(),
            "target": table["target"].astype(str).to_numpy(),
            "weight": np.asarray(table["weight"], dtype=np.float64),
        }
    )


def _portable(value: Any) -> Any:
    """Return a value without its tables and files."""
    if isinstance(value, Training):
        return replace(value, checkpoint=None, checkpoint_every=None)
    if isinstance(value, Cells) and isinstance(value.couplings, Mapping):
        return replace(value, couplings=GivenMatrices())  # type: ignore[arg-type]
    if getattr(value, "coregulation", None) is not None:
        return replace(value, coregulation=None)
    return value


def _text(value: Any) -> str:
    """Return the text of an argument; a record of sparsity is known by its name and options."""
    return call_text(value.name, value.options) if isinstance(value, Sparsity) else shown(value)


def _value(text: str, name: str, key: str) -> Any:
    try:
        return read_value(text, _maker)
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"{name}={text} of the fit under uns[{key!r}] cannot be made again ({error}). Import the file that defines it, "
            f"or give the argument {name} yourself: scdash.get.settings(adata, key={key!r}, without=({name!r},))."
        ) from error


def _maker(name: str) -> Callable[..., Any]:
    """Return what a call of that name in a stored text stands for."""
    known: dict[str, Callable[..., Any]] = {value.__name__: value for value in VALUES}
    known |= {value.__name__: value for value in (*MODELS.values(), *METHODS.values())}
    own: list[type[VectorField]] = [*DEFINED.values(), *(FIELDS[field] for field in FIELDS)]
    found = known | {field.__name__: field for field in own if field.__name__ not in known}
    if name in found:
        return found[name]
    return SPARSITIES[name]
