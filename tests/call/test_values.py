"""Values survive as texts, and nothing in a text is executed."""

from dataclasses import dataclass

import numpy as np
import pytest

from scdash import Regression, Training, Validation
from scdash._core.values import Value, read_value, shown
from scdash.models import MLP, PerturbODE, Phoenix, SecondOrder, Transport
from scdash.models.stored_settings import _maker
from scdash.sparsity import DASH, GeometricSchedule, PathReg, TrainPruneFinetune

SAME = [
    None, True, 3, -0.5, "a 'quoted' text", (), (1,), (1, (2.0, "x")), [1, 2], {"a": (1, 2), "b": {"c": None}},
    Training(max_epochs=3, plateau={"factor": 0.5}, adjoint=True, solver="dopri5"), Training(plateau=False),
    Validation(null_models="full"), Regression(products=True, lambdas=[0.5, 0.1]), Phoenix("modules", n_hidden=7),
    MLP((64, 64)), SecondOrder((3,), skip="outer"), DASH(lambdas=[0.2, 0.9], schedule=GeometricSchedule(until=0.9)),
    DASH(lambdas="cv"), PathReg(lambdas=(0.0, 1.0)), TrainPruneFinetune(levels=(0.5,)),
    PerturbODE(fit=Transport(steps=20), kind={"G1+G2": "knockout"}, hold_out="G3"),
]  # fmt: skip


@pytest.mark.parametrize("value", SAME, ids=repr)
def test_a_value_is_read_back_from_its_text(value):
    again = read_value(shown(value), _maker)
    assert again == value and type(again) is type(value)


def test_a_rule_is_left_to_the_fit_set_or_switched_off():
    assert "plateau" not in Training().settings()
    assert Training(plateau=False).settings() == {"plateau": None}
    assert Training(plateau={"patience": 7}).settings()["plateau"].patience == 7


def test_what_differs_from_the_defaults_is_shown():
    assert repr(MLP((64, 64))) == "MLP(hidden=(64, 64))"
    assert repr(DASH(lambdas=np.float64(0.5))) == "DASH(lambdas=0.5)"
    assert repr(Phoenix()) == "Phoenix()"
    assert repr(PerturbODE(fit=Transport(steps=20))) == "PerturbODE(fit=Transport(steps=20))"


def test_what_cannot_be_read_back_is_shown_as_its_kind():
    @dataclass(frozen=True, repr=False)
    class Held(Value):
        """A value that holds an array."""

        array: object = None

    assert repr(Held(np.zeros(3))) == "Held(array=<ndarray>)"
    with pytest.raises(ValueError, match="no stored setting"):
        read_value(repr(Held(np.zeros(3))), _maker)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch /tmp/never')", "Training.__init__(1)", "open('x')", "Training(**{'a': 1})",
        "[x for x in (1, 2)]", "1 + x", "lambda: 1", "f'{1}'", "Training(max_epochs=open('x'))", "", "{**a}",
    ],
)  # fmt: skip
def test_nothing_else_in_a_text_is_taken(text):
    with pytest.raises((ValueError, KeyError)):
        read_value(text, _maker)
