"""Whatever form the data come in: a right result, or an error of our own that leaves them as they were.

`SCDASH_EXAMPLES=200 pytest -m "" -s` tries more and prints how many ended how; see docs/reliability.md.
"""

import os
import traceback
import warnings
from collections import Counter
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

import scdash

from .cases import AFTER, RETURNING, WRITING, public
from .same import difference
from .variants import Variant, apply, variants

EXAMPLES = int(os.environ.get("SCDASH_EXAMPLES", "5"))
SOURCE = Path(scdash.__file__).parent
CASES = WRITING | RETURNING
# What is tried at every `make test`; the rest, and the slow ones, with `-m slow`.
QUICK = {"pp.normalize", "pp.align_prior", "pp.trajectories", "get.grn", "tl.predict"}
ended: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def quiet():
    before, scdash.settings.verbosity = scdash.settings.verbosity, 0
    yield
    scdash.settings.verbosity = before


@pytest.fixture(autouse=True, scope="module")
def tell():
    yield
    print("\nvariants of AnnData tried:", sum(ended.values()), dict(ended))


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
    """Whether the error was raised by a line of scdash, not somewhere inside a library."""
    return Path(traceback.extract_tb(error.__traceback__)[-1].filename).is_relative_to(SOURCE)


def try_one(name, variant, folder):
    case = CASES[name]
    try:
        data = form(case.data(), variant, folder)
        before = data.copy() if not getattr(data, "isbacked", False) else data.to_memory()
    except Exception:  # noqa: BLE001 - AnnData itself refuses this form
        ended["refused by AnnData"] += 1
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case.call(public(name), data)
    except Exception as error:  # noqa: BLE001 - which errors are right is what is tested
        ended["clear error"] += 1
        trace = "".join(traceback.format_exception(error)[-6:])
        assert is_ours(error), f"{name} with {variant}: from deep inside\n{trace}"
        assert len(str(error)) > 20, f"{name}: {error!r} explains nothing"
        assert not variant.harmless, f"{name} refuses {variant}\n{trace}"
        assert difference(data, before) is None, f"{name} failed and left its input changed"
    else:
        ended["result"] += 1


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in sorted({*CASES} - {*AFTER})],
)
def test_forms_of_data(name, tmp_path_factory):
    if name == "tl.latent_tsne":
        pytest.importorskip("openTSNE")
    folder = tmp_path_factory.mktemp("forms")

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],  # a variant is short as it is: shrinking it takes minutes
    )  # fmt: skip
    @given(variants())
    @example(Variant(container="csr", dtype="float64"))
    @example(Variant(container="view"))
    @example(Variant(n_obs=0))
    @example(Variant(n_vars=1))
    def check(variant):
        try_one(name, variant, folder)

    check()
