"""Vector fields dx/dt = f(x): pure torch, no AnnData."""

from scdash.fields._base import DEFINED, FIELDS, Layer, Params, RegulatoryPath, VectorField, Velocity, zero_share
from scdash.fields._compact import Compact
from scdash.fields._compiled_solve import CompiledSolve
from scdash.fields._csr import csr_tensor
from scdash.fields._evaluator import Evaluator
from scdash.fields._mlp import Mlp
from scdash.fields._perturbode import PerturbODE
from scdash.fields._phoenix import Phoenix
from scdash.fields._phoenix_sparse import SparsePhoenix
from scdash.fields._sonode import Sonode

__all__ = [
    "DEFINED",
    "FIELDS",
    "Compact",
    "CompiledSolve",
    "Evaluator",
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
    "csr_tensor",
    "field_class",
    "zero_share",
]


def field_class(name: str) -> type[VectorField]:
    """Return the field stored under a name: one that is registered, or any other whose file has been imported."""
    if name in FIELDS or name not in DEFINED:
        return FIELDS[name]
    return DEFINED[name]
