"""A call stays short: no flat argument belongs to a model, a method, its training or its evaluating."""

import inspect
import subprocess
import sys
from dataclasses import fields

import pytest

import scdash
from scdash.dynamics.call import FitCall
from scdash.models import MODELS
from scdash.sparsity import METHODS, SPARSITIES

VALUES = [
    scdash.Training,
    scdash.Validation,
    scdash.Cells,
    scdash.BottleneckTraining,
    scdash.Regression,
    scdash.models.Transport,
    *MODELS.values(),
    *METHODS.values(),
]
GONE = {
    "encoder", "n_hidden", "lambdas", "scale", "missing", "schedule", "sparsity_options", "coregulation", "controls",
    "max_epochs", "tau", "solver", "checkpoint", "n_bins", "couplings",
}  # fmt: skip


def parameters(function):
    return inspect.signature(function).parameters


@pytest.mark.parametrize(("name", "most"), [("fit_dynamics", 27), ("fit_perturbode", 17)])
def test_a_fit_has_few_arguments_and_each_is_named(name, most):
    found = parameters(getattr(scdash.tl, name))
    assert len(found) <= most and not GONE & set(found)
    assert not any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in found.values())
    assert list(found)[:3] == ["adata", "prior", "model"]
    assert all(p.kind is p.KEYWORD_ONLY for p in list(found.values())[2:])


def test_a_call_as_a_value_has_the_arguments_of_the_function_and_its_defaults():
    own = {one.name: one.default for one in fields(FitCall)}
    given = {name: p.default for name, p in parameters(scdash.tl.fit_dynamics).items()}
    assert set(given) - set(own) == {"adata", "key_added", "copy"} and set(own) <= set(given)
    assert {name for name in own if own[name] != given[name]} == {
        "time_key"
    }  # None there stands for what a fit has read


@pytest.mark.parametrize(("name", "own"), [("cross_validate", 5), ("sparsity_path", 7)])
def test_functions_around_a_fit_do_not_repeat_its_arguments(name, own):
    found = parameters(getattr(scdash.tl, name))
    assert len(found) == own + 1 and not (GONE - {"lambdas"}) & set(found)
    assert not set(found) & {one.name for one in fields(FitCall)}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_values_are_frozen_documented_and_made_without_arguments(value):
    made = value()
    with pytest.raises(AttributeError):
        setattr(made, fields(value)[0].name, 1)
    assert repr(made) == f"{value.__name__}()" and made == value()
    text = inspect.getdoc(value)
    assert "Parameters\n----------" in text
    lines = [
        part.strip() for line in text.splitlines() if line and not line.startswith(" ") for part in line.split(",")
    ]
    assert [one.name for one in fields(value) if one.name not in lines] == []


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_the_defaults_of_its_record(name):
    made = SPARSITIES[name]()
    for option, default in SPARSITIES[name].__kwdefaults__.items():
        if option == "lambdas" and made.ladder:  # a strength that is not given is chosen by held-out error
            assert METHODS[name]().lambdas is None
            continue
        assert getattr(METHODS[name](), option) == default, f"{option} of {name}"
    assert METHODS[name].method == made.name


def test_the_package_is_imported_without_torch():
    code = "import sys, scdash; sys.exit('torch' in sys.modules or 'scanpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
