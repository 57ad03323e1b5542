"""Strengths of penalties and of priors: one for all models of a stack, or one for each."""

from typing import Any, TypeAlias

import torch
from torch import Tensor

Lambda: TypeAlias = "float | Tensor"  # one for all models, or (models,)


def as_lambdas(value: Any) -> tuple[Lambda, ...]:
    """Return strengths as a tuple whose entries are numbers or (models,) tensors.

    A number or a tensor (models,) is one strength; a list or tuple holds several, each of them a number, a list or a
    tensor.
    """
    entries = value if isinstance(value, list | tuple) else [value]
    found: list[Lambda] = []
    for entry in entries:
        tensor = torch.as_tensor(entry, dtype=torch.float64)
        if tensor.ndim > 1 or not bool(torch.isfinite(tensor).all()) or bool((tensor < 0).any()):
            raise ValueError(f"lambdas must be non-negative numbers or one per model (models,), found {entry!r}.")
        found.append(float(tensor) if tensor.ndim == 0 else tensor)
    return tuple(found)


def one_lambda(value: Any) -> Lambda:
    """Return the one strength of a method that has a single one."""
    found = as_lambdas(value)
    if len(found) != 1:
        raise ValueError(
            f"lambdas is one strength here, a number or a tensor (models,); found {len(found)}. Strengths of stacked "
            "models go into one tensor."
        )
    return found[0]


def per_model(lam: Lambda, like: Tensor, dims: int = 1) -> Tensor:
    """Return a strength on the device and in the precision of `like`, with `dims` axes, models first."""
    tensor = torch.as_tensor(lam, dtype=like.dtype, device=like.device)
    return tensor.reshape(tensor.shape + (1,) * (dims - 1)) if tensor.ndim else tensor
