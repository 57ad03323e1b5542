"""The settings of a stored fit: later functions read the data where the fit has read them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from scdash._core.errors import suggest
from scdash._core.logging import logger

if TYPE_CHECKING:
    from anndata import AnnData


DATA_KEYS = ("time_key", "trajectory_key", "batch_key", "split_key", "layer")
X = "X"  # as a layer: the main matrix, for whoever wants it beside a fit of a layer


@dataclass(frozen=True)
class DataKeys:
    """Where a fit has read its data: columns of `obs`, and a layer (None: X)."""

    time_key: str
    trajectory_key: str | None = None
    batch_key: str | None = None
    split_key: str | None = None
    layer: str | None = None


@dataclass(frozen=True)
class FitSettings:
    """The settings of the fit stored under `adata.uns[key]`."""

    key: str
    params: Mapping[str, Any]

    @classmethod
    def of(cls, entry: Mapping[str, Any], key: str) -> Self:
        """Return the settings of an entry as `scdash._core.keys.require_fit` returns it."""
        params = entry.get("params")
        return cls(key, params if isinstance(params, Mapping) else {})

    def text(self, name: str) -> str | None:
        """Return a setting that is a text, None where it was not given."""
        value = self.params.get(name)
        return None if value is None or str(value) == "" else str(value)

    @property
    def layer(self) -> str | None:
        """The layer that was fitted; None: X."""
        return self.text("layer")

    @property
    def time_key(self) -> str | None:
        """The column of `obs` with the time of every row."""
        return self.text("time_key")

    @property
    def time_scale(self) -> float:
        """Length of the fit's own unit of time, in the user's unit."""
        return float(self.params.get("time_scale", 1.0))

    @property
    def time_name(self) -> str:
        """What an axis of the fit's stored times is called: the user's column and unit, or the model's own time."""
        if bool(self.params.get("model_time", False)):
            return f"model time (rank of {self.time_key})"
        name, unit = self.time_key or "time", self.text("time_unit")
        return name if unit is None else f"{name} ({unit})"

    def layer_of(self, data: "AnnData", asked: str | None, *, name: str = "adata") -> str | None:
        """Return the layer of `data` to read: the one asked for, or by default the one that the fit has read.

        Never X in silence: where the fit's layer is gone, an error says so. `asked="X"` means X.
        """
        held = [str(layer) for layer in data.layers if layer is not None]
        if asked is not None:
            return None if asked == X and X not in held else asked
        if self.layer is not None and self.layer not in held:
            raise KeyError(
                f"The fit under uns[{self.key!r}] was made on layers[{self.layer!r}], which {name} lacks. Add that layer, "
                f"name another one with the same kind of values as layer, or pass layer='X' for {name}.X."
                f"{suggest(self.layer, held)}"
            )
        return self.layer


def keys_like_fit(adata: "AnnData", key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return where to read the data: what the caller has given, else what the fit of dynamics under `key` has read.

    `given` holds the arguments named in `DATA_KEYS`; without such a fit it is returned as it is. The log says what was
    taken from the fit.
    """
    entry = getattr(adata, "uns", {}).get(key)
    if not isinstance(entry, Mapping) or "params" not in entry or "screen" in entry:
        return dict(given)
    settings = FitSettings.of(entry, key)
    stored = {name: settings.text(name) for name in DATA_KEYS if given[name] is None}
    if "layer" in stored:
        settings.layer_of(adata, None)
    used = {name: value for name, value in stored.items() if value is not None}
    log_settings(settings, used)
    layer = settings.layer_of(adata, given["layer"])
    return dict(given) | used | {"layer": layer}


def log_settings(settings: FitSettings, used: Mapping[str, Any]) -> None:
    """Tell the log which settings of a stored fit are used because the caller has not given them."""
    if used:
        listed = ", ".join(f"{name}={value!r}" for name, value in used.items())
        logger.info("    as in the fit under uns[%r]: %s", settings.key, listed)
