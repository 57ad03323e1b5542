"""Where to read a screen again: what a call names, else what a stored fit of the screen has read."""

from collections.abc import Mapping
from typing import Any

from anndata import AnnData

from scdash._core.fit_settings import FitSettings, log_settings
from scdash.models import PerturbODE
from scdash.screens.inputs import stored_kind


def labels_like_fit(adata: AnnData, key: str, given: Mapping[str, Any]) -> dict[str, Any]:
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
        "batch_key": settings.text("batch_key"),
        "time_key": settings.text("sampled_time_key"),
        "guide_key": settings.text("guide_key"),
        "kind_key": settings.text("kind_key"),
        "symbols": settings.text("symbols"),
        "values": settings.text("values"),
        "unknown_targets": settings.text("unknown_targets"),
    }
    for name in ("values", "unknown_targets"):
        if stored[name] == getattr(PerturbODE, name):
            del stored[name]
    if "kind" in known:
        del stored["kind_key"]
    elif "kind_key" not in known and stored["kind_key"] is None:
        stored["kind"] = stored_kind(params["kind"])
    stored = {name: value for name, value in stored.items() if value is not None}
    layer = settings.layer_of(adata, given.get("layer"))
    used = {name: value for name, value in stored.items() if name not in known}
    shown = used | ({"layer": layer} if layer is not None and "layer" not in known else {})
    log_settings(settings, shown)
    return known | used | {"layer": layer}
