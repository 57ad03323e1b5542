"""Whatever form the data come in: a right result, or an error of our own that leaves them as they were.

Every oddity by itself for every function, then `SCDASH_EXAMPLES` (5) of several at once; docs/reliability.md keeps the
counts.
"""

import inspect
import linecache
import os
import traceback
import warnings
from copy import deepcopy
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import ImplicitModificationWarning
from hypothesis import HealthCheck, Phase, given, settings

import scdash

from .cases import DRAWING, KEPT, MEASURING, RETURNING, WRITING, counts, public, raw_pairs
from .same import CLOCK, difference
from .variants import Variant, alone, apply, variants

EXAMPLES = int(os.environ.get("SCDASH_EXAMPLES", "5"))
SOURCE = Path(scdash.__file__).parent
CASES = WRITING | RETURNING | KEPT | DRAWING | MEASURING
# What is tried at every `make test`; the rest with `-m slow`.
QUICK = {"pp.normalize", "pp.align_prior", "pp.trajectories", "get.grn", "tl.predict", "pl.trends", "metrics.density"}
REWRITING = {
    "pp.normalize",
    "pp.normalize_paired",
    "pp.filter_perturbations",
}  # on disk X stays as it is, so they refuse backed data
ELSEWHERE = {"X": frozenset(), "layer": frozenset({"X", "given", "layer"})}  # differ because the values are there


@pytest.fixture(autouse=True)
def quiet():
    before, scdash.settings.verbosity = scdash.settings.verbosity, 0
    torch.set_warn_always(True)  # each of its warnings is given once in a process otherwise
    yield
    torch.set_warn_always(False)
    scdash.settings.verbosity = before
    plt.close("all")


def has_layer(name):
    return "layer" in inspect.signature(public(name)).parameters


def form(data, variant, folder):
    if not hasattr(data, "mod"):
        return apply(variant, data, folder)
    import mudata

    named = Variant(obs_names=variant.obs_names)  # cells are the same cells in both modalities
    parts = {name: apply(variant if name == "rna" else named, part, folder) for name, part in data.mod.items()}
    made = mudata.MuData(parts)
    made.uns.update(deepcopy(dict(data.uns)))
    if made.n_obs == data.n_obs:
        for slot in ("obs", "obsm"):
            for key, values in getattr(data, slot).items():
                if key not in data.mod:
                    getattr(made, slot)[key] = np.asarray(values)
    return made


def is_ours(error):
    """Whether the error was raised on purpose: by a `raise` of scdash, not by something that failed there or deeper."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    meant = linecache.getline(last.filename, last.lineno).strip().startswith("raise ")
    return meant and Path(last.filename).is_relative_to(SOURCE)


def run(name, data, *, strict=False, **more):
    """Return what a function gives for `data`: what it returns, or the data it wrote to."""
    case = CASES[name]
    more |= {"show": False} if name in DRAWING else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if strict:  # as everywhere in this suite: what our own code causes is an error
            warnings.filterwarnings("error", module="scdash")
            warnings.filterwarnings(
                "ignore", category=ImplicitModificationWarning
            )  # a view becomes real when written to
        found = case.call(public(name), data, **more)
    plt.close("all")
    return data if name in WRITING else found


@cache
def usual(name):
    """Return the result of a function on its data as they are."""
    return run(name, CASES[name].data())


def try_one(name, variant, folder, tally):
    case = CASES[name]
    try:
        data = form(case.data(), variant, folder)
        before = form(case.data(), variant, folder)
    except Exception:  # noqa: BLE001 - AnnData itself refuses this form
        tally("forms of AnnData that AnnData itself refuses")
        return
    tally("forms of AnnData tried")
    try:
        found = run(name, data, strict=variant.harmless, **({"layer": "given"} if variant.place == "layer" else {}))
    except Exception as error:  # noqa: BLE001 - which errors are right is what is tested
        tally("forms of AnnData: clear errors")
        trace = "".join(traceback.format_exception(error)[-6:])
        assert is_ours(error), f"{name} with {variant}: from deep inside\n{trace}"
        assert len(str(error)) > 20, f"{name}: {error!r} explains nothing"
        rewritten = variant.container == "backed" and name in REWRITING
        assert not variant.harmless or rewritten, f"{name} refuses {variant}\n{trace}"
        assert difference(data, before) is None, f"{name} failed and left its input changed"
    else:
        tally("forms of AnnData: results")
        if variant.harmless and not variant.told_apart and name not in {*DRAWING, "get.model"}:
            tally("forms of AnnData: results equal to those of the usual form")
            differs = difference(found, usual(name), tolerance=1e-3, skip=CLOCK | ELSEWHERE[variant.place])
            assert differs is None, f"{name} gives another result for {variant}: {differs}"


NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in sorted(CASES)]


@pytest.mark.parametrize("name", NAMES)
def test_forms_of_data(name, tmp_path_factory, tally):
    if name == "tl.latent_tsne":
        pytest.importorskip("openTSNE")
    folder = tmp_path_factory.mktemp("forms")
    failed = []

    def attempt(variant):
        try:
            try_one(name, variant, folder, tally)
        except AssertionError as error:
            failed.append(f"{variant}\n{error}")

    for variant in alone(layer=has_layer(name)):
        attempt(variant)

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # a variant is short as it is: shrinking it takes minutes
    )  # fmt: skip
    @given(variants(layer=has_layer(name)))
    def check(variant):
        attempt(variant)

    check()
    assert not failed, "\n\n".join(failed)


WRONG = {
    "text": lambda: "data.h5ad", "nothing": lambda: None, "a dict": dict, "an array": lambda: np.zeros((3, 3)),
    "a table": lambda: pd.DataFrame({"a": [1.0]}), "a MuData": raw_pairs, "an AnnData": counts,
}  # fmt: skip
TAKEN = {"metrics": {"an array", "a dict"}, "pl": {"an array"}}  # as networks


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_is_no_data_is_named(name, tally):
    """The wrong thing as first argument: a result where it is of use (a matrix as a network), else an error of ours."""
    for what, make in WRONG.items():
        try:
            run(name, make())
        except Exception as error:  # noqa: BLE001 - which errors are right is what is tested
            assert is_ours(error), f"{name}({what}): {error!r}"
            assert len(str(error)) > 20
            tally("wrong things as first argument: named")
        else:
            assert what in TAKEN.get(name.split(".")[0], ()) or hasattr(make(), "obs"), f"{name} takes {what}"


def test_accidents_are_told_from_errors_that_were_meant():
    def ends(call):
        with pytest.raises(Exception) as raised:
            call()
        return is_ours(raised.value)

    assert ends(lambda: scdash.pp.normalize("text"))
    assert not ends(lambda: [][0])
    assert not ends(lambda: np.zeros((2, 2)) @ np.zeros(3))
