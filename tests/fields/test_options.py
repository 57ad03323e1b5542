"""Options of every field, the package's and a user's own, are checked by their annotations when the field is made."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pytest

import scdash
from scdash._core.errors import check_least, checked
from scdash.fields import Mlp, Phoenix, SparsePhoenix, VectorField
from scdash.fields.perturbode import PerturbODE


@dataclass(frozen=True)
class Hill(VectorField):
    """A field whose options are of several types."""

    name: ClassVar[str] = "hill_of_options"
    n_genes: int = 0
    exponent: float = 2.0
    form: Literal["steep", "flat"] = "steep"
    sizes: tuple[int, ...] = ()
    offset: float | None = None
    signed: bool = True

    def check(self) -> None:
        """Raise for an exponent below 1."""
        check_least("exponent", self.exponent, 1)

    def init(self, n_models, generator, dtype=None):
        """Draw nothing."""
        return {}

    def bind(self, params):
        """Return the field."""
        return lambda x: x

    def paths(self):
        """Return no path."""
        return ()


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"exponent": "a"}, TypeError, "exponent of Hill must be a number, found 'a'"),
        ({"exponent": True}, TypeError, "exponent of Hill must be a number, found True"),
        ({"exponent": float("nan")}, ValueError, "exponent of Hill must be a number, found nan"),
        ({"exponent": 0.5}, ValueError, "exponent must be at least 1, found 0.5"),
        ({"form": "step"}, ValueError, "Unknown form of Hill 'step'. Did you mean 'steep'"),
        ({"sizes": 3}, TypeError, "sizes of Hill must be a tuple, found 3"),
        ({"sizes": (3, 2.5)}, TypeError, r"sizes\[1\] of Hill must be a whole number, found 2.5"),
        ({"offset": "none"}, TypeError, "offset of Hill must be a number or None, found 'none'"),
        ({"signed": 1}, TypeError, "signed of Hill must be True or False, found 1"),
        ({"n_genes": -1}, ValueError, "n_genes must be at least 0, found -1"),
        ({"exponnt": 2.0}, TypeError, "exponnt"),
    ],
)
def test_a_wrong_option_is_named(options, kind, message):
    with pytest.raises(kind, match=message):
        Hill(**options)


def test_what_is_right_is_left_as_it_is_and_lists_become_tuples():
    found = Hill(exponent=3, sizes=[np.int64(2), 3], offset=np.float32(0.5), n_genes=np.int64(4))
    assert found.sizes == (2, 3) and type(found.sizes[0]) is int and type(found.n_genes) is int
    assert found.exponent == 3 and found.offset == 0.5
    assert Hill.from_config(found.config()) == found and hash(found)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Phoenix(3, n_hidden="a"), "n_hidden of Phoenix must be a whole number"),
        (lambda: Phoenix(3, encoder="gene"), "encoder"),
        (lambda: Mlp(3, hidden=(4.5,)), r"hidden\[0\] of Mlp must be a whole number"),
        (lambda: Mlp(3, per_target="yes"), "per_target of Mlp must be True or False"),
        (lambda: SparsePhoenix(3, "ab", (1, 2)), "targets of SparsePhoenix must be a tuple"),
        (lambda: PerturbODE(3, -1), "n_modules must be at least 0"),
        (lambda: PerturbODE(3, "many"), "n_modules of PerturbODE must be a whole number"),
        (lambda: scdash.models.MLP((64.5,)), r"hidden\[0\] of Mlp must be a whole number"),
        (lambda: scdash.models.SecondOrder((4,), per_target=2), "per_target of Sonode must be True or False"),
    ],
)
def test_the_fields_of_the_package_are_checked_in_the_same_way(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_a_field_may_not_take_the_checks_away():
    with pytest.raises(TypeError, match=r"Other defines __post_init__.*call it `check`"):

        class Other(Hill):
            def __post_init__(self) -> None:
                """Do nothing."""


def test_annotations_that_cannot_be_checked_are_left_alone():
    assert checked("f", len, "no type") is len and checked("f", {}, dict[str, int]) == {}
    with pytest.raises(TypeError, match="f must be dict, found 3"):
        checked("f", 3, dict[str, int])
