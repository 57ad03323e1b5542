"""Models as values of a call: what `model=` of `scdash.tl.fit_dynamics` takes beside names and fields of one's own."""

from scdash.models._base import MODELS, Model
from scdash.models._dynamics import MLP, Phoenix, SecondOrder
from scdash.models._named import model_of
from scdash.models._screens import PerturbODE, Transport

__all__ = ["MLP", "MODELS", "Model", "PerturbODE", "Phoenix", "SecondOrder", "Transport", "model_of"]
