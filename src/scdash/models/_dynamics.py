"""Models of dynamics over time."""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

from scdash import fields
from scdash._core.errors import check_choice, unused
from scdash.models._base import Model

UNITS = 40  # hidden units, where none are asked for


@final
@dataclass(frozen=True, repr=False)
class Phoenix(Model):
    """PHOENIX (Hossain et al. 2024), `model="phoenix"`; see `scdash.fields.Phoenix` for its equation.

    Parameters
    ----------
    encoder
        "genes": every gene is its own unit, so that the decoder is the network. "modules": the paper's hidden units.
    n_hidden
        Number of hidden units for `encoder="modules"`; None: 40.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    Examples
    --------
    >>> scdash.models.Phoenix(encoder="modules", n_hidden=20)
    Phoenix(encoder='modules', n_hidden=20)
    """

    name: ClassVar[str] = "phoenix"
    encoder: Literal["genes", "modules"] = "genes"
    n_hidden: int | None = None

    def __post_init__(self) -> None:
        check_choice("encoder", self.encoder, fields.Phoenix.ENCODERS)
        if self.n_hidden is not None and self.encoder == "genes":
            raise unused("n_hidden", "encoder='genes' has no hidden units; use encoder='modules'")
        if self.n_hidden is not None and (not isinstance(self.n_hidden, int) or self.n_hidden < 1):
            raise ValueError(f"n_hidden must be a positive whole number, found {self.n_hidden!r}.")

    @property
    def units(self) -> int:
        """Number of hidden units."""
        return UNITS if self.n_hidden is None else self.n_hidden

    def field(self, n_genes: int) -> fields.Phoenix:
        """Return the vector field for that many genes."""
        return fields.Phoenix(n_genes, encoder=self.encoder, n_hidden=self.units)


@final
@dataclass(frozen=True, repr=False)
class MLP(Model):
    """The plain neural ODE, `model="mlp"`: dx/dt is a multilayer network of x; see `scdash.fields.Mlp`.

    Parameters
    ----------
    hidden
        Sizes of the hidden layers.
    skip
        A linear connection past the network, "none", "inner" or "outer". LassoNet sets it by itself.
    per_target
        One network with one hidden layer for every target. Group lasso sets it by itself.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    Examples
    --------
    >>> scdash.models.MLP((64, 64))
    MLP(hidden=(64, 64))
    """

    name: ClassVar[str] = "mlp"
    hidden: tuple[int, ...] = (UNITS, UNITS)
    skip: Literal["none", "inner", "outer"] = "none"
    per_target: bool = False

    def __post_init__(self) -> None:
        _check_hidden(self)

    def field(self, n_genes: int) -> fields.Mlp:
        """Return the vector field for that many genes."""
        return fields.Mlp(n_genes, hidden=self.hidden, skip=self.skip, per_target=self.per_target)


@final
@dataclass(frozen=True, repr=False)
class SecondOrder(Model):
    """The second-order neural ODE, `model="sonode"`, with a learned first velocity; see `scdash.fields.Sonode`.

    Parameters
    ----------
    hidden
        Sizes of the hidden layers of the acceleration, and of the first velocity.
    skip, per_target
        As for `MLP`, with positions and velocities as inputs.

    See Also
    --------
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    Examples
    --------
    >>> scdash.models.SecondOrder((32,))
    SecondOrder(hidden=(32,))
    """

    name: ClassVar[str] = "sonode"
    hidden: tuple[int, ...] = (UNITS, UNITS)
    skip: Literal["none", "inner", "outer"] = "none"
    per_target: bool = False

    def __post_init__(self) -> None:
        _check_hidden(self)

    def field(self, n_genes: int) -> fields.Sonode:
        """Return the vector field for that many genes."""
        return fields.Sonode(n_genes, hidden=self.hidden, skip=self.skip, per_target=self.per_target)


def _check_hidden(model: MLP | SecondOrder) -> None:
    """Raise unless the sizes are a tuple of positive numbers that go with the other options."""
    if not isinstance(model.hidden, tuple | list):
        raise TypeError(f"hidden holds the sizes of the hidden layers, such as (40, 40), found {model.hidden!r}.")
    object.__setattr__(model, "hidden", tuple(model.hidden))
    model.field(1)  # its checks
