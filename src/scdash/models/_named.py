"""Models of a call: what names stand for."""

from typing import Any

from scdash._core.errors import check_choice
from scdash.fields import FIELDS, VectorField
from scdash.models._base import MODELS, Model
from scdash.models._dynamics import Phoenix
from scdash.models._screens import PerturbODE


def model_of(model: Any) -> str | Model | VectorField:
    """Return the model that `model` names, or itself if it is one."""
    if isinstance(model, str) and model in MODELS:
        return MODELS[model]()
    if isinstance(model, str):
        check_choice("model", model, FIELDS)
        return model
    if isinstance(model, Model):
        return model
    if not isinstance(model, VectorField):
        called = f"; did you mean {model.__name__}()?" if isinstance(model, type) else "."
        raise TypeError(f"model must be a name, a value of scdash.models or a vector field, found {model!r}{called}")
    if model.name in FIELDS and FIELDS[model.name] is not type(model):
        raise ValueError(f"model={model!r}: the name {model.name!r} is that of another field; give yours its own name.")
    if model.name in (Phoenix.name, PerturbODE.name):
        raise TypeError(f"model={model!r}: pass scdash.models.{type(model).__name__} instead of the field.")
    return model
