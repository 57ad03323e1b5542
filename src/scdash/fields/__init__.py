"""Vector fields dx/dt = f(x): pure torch, no AnnData."""

from typing import TypeGuard

from scdash._core.errors import check_choice, check_least
from scdash.fields.mlp import Mlp
from scdash.fields.perturbode import PerturbODE
from scdash.fields.phoenix import Phoenix
from scdash.fields.phoenix_sparse import SparsePhoenix, csr_tensor
from scdash.fields.second_order import Sonode
from scdash.fields.vector_field import (
    DEFINED,
    FIELDS,
    Layer,
    Params,
    RegulatoryPath,
    VectorField,
    Velocity,
    zero_fraction,
)

__all__ = [
    "DEFINED",
    "FIELDS",
    "Layer",
    "Mlp",
    "Params",
    "PerturbODE",
    "Phoenix",
    "RegulatoryPath",
    "Sonode",
    "SparsePhoenix",
    "VectorField",
    "Velocity",
    "check_choice",
    "check_least",
    "csr_tensor",
    "field_class",
    "gene_wise",
    "zero_fraction",
]


def gene_wise(field: VectorField) -> TypeGuard[Phoenix | SparsePhoenix]:
    """Return whether the field's weights are the network itself."""
    return isinstance(field, SparsePhoenix) or (isinstance(field, Phoenix) and field.encoder == "genes")


def field_class(name: str) -> type[VectorField]:
    """Return the field stored under a name: one that is registered, or any other whose file has been imported."""
    if name in FIELDS or name not in DEFINED:
        return FIELDS[name]
    return DEFINED[name]
