"""What every model of a call has: the name of its vector field, and the field once the number of genes is known."""

from abc import ABC, abstractmethod
from typing import ClassVar

from scdash._core.values import Value
from scdash.fields import VectorField


class Model(Value, ABC):
    """A model and its options, without weights and without genes."""

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        MODELS[cls.name] = cls

    @abstractmethod
    def field(self, n_genes: int) -> VectorField:
        """Return the vector field for that many genes."""


MODELS: dict[str, type[Model]] = {}
"""The models that have a name; `model="mlp"` is `MLP()`."""
