"""The SERGIO screen: closed forms of the Langevin model, and the statistics of the reference simulation."""

import numpy as np
import pandas as pd
import pytest

from scdash.simulate._sergio import sergio
from scdash.simulate._sergio_kinetics import positive_normal


def constants(genes, **changes):
    table = pd.DataFrame(
        {
            "decay": 0.8,
            "noise_amplitude": 0.5,
            "basal_production": 0.0,
            "intervention_strength": 6.0,
            "half_response": 4.0,
        },
        index=genes,
    )
    for column, values in changes.items():
        table[column] = values
    return table


CHAIN = pd.DataFrame({"source": ["A", "B"], "target": ["B", "C"], "weight": [3.0, -2.0]})
KINETICS = constants(["A", "B", "C"], basal_production=[8.0, 0.0, 0.0])


def chain(**arguments):
    # Nearly noise-free: the mean of the stochastic model is the fixed point only in that limit (Hill is concave).
    quiet = {
        "kinetics": KINETICS.assign(noise_amplitude=0.02),
        "genes": ["A", "B", "C"],
        "cells_per_perturbation": 50,
        "rng": 3,
    }
    adata = sergio(CHAIN, **(quiet | arguments))
    frame = pd.DataFrame(np.asarray(adata.X), columns=adata.var_names)
    return frame.groupby(adata.obs["perturbation"].astype(str).to_numpy()).mean()


def test_control_rests_at_the_fixed_point():
    a = 8.0 / 0.8
    b = 3.0 * a / (4 + a) / 0.8
    c = 2.0 * (1 - b / (4 + b)) / 0.8  # B represses C
    np.testing.assert_allclose(chain(perturbations=["A"]).loc["control"], [a, b, c], rtol=0.01)


def test_every_kind_of_intervention_reaches_its_closed_form():
    long = {"total_time": 20.0, "n_steps": 500}
    control = chain(perturbations=["B"], **long).loc["control"]
    c_of = lambda b: 2.0 * (1 - b / (4 + b)) / 0.8
    shift = chain(perturbations=["B"], kind="shift", **long).loc["B"]
    assert shift["B"] == pytest.approx(control["B"] + 6.0 / 0.8, rel=0.01)
    assert shift["C"] == pytest.approx(c_of(shift["B"]), rel=0.02)
    out = chain(perturbations=["B"], kind="knockout", **long).loc["B"]
    assert out["B"] == pytest.approx(0, abs=0.01)
    assert out["C"] == pytest.approx(2.0 / 0.8, rel=0.01)
    down = chain(perturbations=["B"], kind="knockdown", knockdown=0.6, **long).loc["B"]
    assert down["B"] == pytest.approx(0.4 * control["B"], rel=0.01)
    perfect = chain(perturbations=["B"], mask_decay=False, **long).loc["B"]
    assert perfect["B"] == pytest.approx(6.0 / 0.8, rel=0.01)


def test_a_perfect_over_expression_grows_at_gamma_when_decay_is_masked_too():
    grown = chain(perturbations=["B"]).loc["B"]
    start = chain(perturbations=["B"]).loc["control", "B"] + 6.0  # Eq. 15: the fixed point with gamma added
    assert grown["B"] == pytest.approx(start + 2.0 * 6.0, rel=0.01)


def test_upstream_genes_do_not_feel_an_intervention():
    means = chain(perturbations=["C", "B"])
    np.testing.assert_allclose(means.loc["C", ["A", "B"]], means.loc["control", ["A", "B"]], rtol=0.01)


def test_stationary_variance_of_a_gene_without_regulators():
    # dX = (b - l X) dt + q sqrt(b + l X) dW has Var = q^2 (b + l b / l) / (2 l) = q^2 b / l; Euler adds 1 / (1 - l h / 2).
    kinetics = constants(["A", "B", "C"], basal_production=[8.0, 0.0, 0.0], noise_amplitude=0.5)
    adata = sergio(
        CHAIN,
        kinetics=kinetics,
        genes=["A", "B", "C"],
        perturbations=["C"],
        cells_per_perturbation=20_000,
        total_time=12.0,
        n_steps=600,
    )
    x = np.asarray(adata.X)[:20_000, 0].astype(float)
    expected = 0.25 * 8.0 / 0.8 / (1 - 0.8 * 0.02 / 2)
    assert x.mean() == pytest.approx(10.0, abs=4 * np.sqrt(expected / 20_000))
    assert x.var() == pytest.approx(expected, rel=4 * np.sqrt(2 / 20_000))


def test_seed_decides_and_truth_is_row_regulates_column():
    first, again, other = (
        sergio(genes=12, n_perturbations=4, n_targets=2, cells_per_perturbation=5, rng=r) for r in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.X, again.X)
    assert not np.array_equal(first.X, other.X)
    truth = first.varp["truth"].toarray()
    table = first.uns["truth"]
    rows, columns = (first.var_names.get_indexer(table[c]) for c in ("source", "target"))
    np.testing.assert_array_equal(truth[rows, columns], table["weight"].to_numpy())
    assert (truth != 0).sum() == len(table) == 33  # half of the 66 possible edges: 5 a gene would be 60
    regulated = (truth != 0).any(axis=0)
    np.testing.assert_array_equal(first.var["master_regulator"], ~regulated)
    assert first.obs["perturbation"].nunique() == 5
    assert (first.obs.loc[first.obs["perturbation"] != "control", "n_targets"] == 2).all()


def test_mid_response_puts_half_response_at_the_mean_of_the_control():
    adata = sergio(
        genes=15,
        repressors=0.3,
        n_perturbations=2,
        cells_per_perturbation=300,
        half_response="mid",
        rng=4,
        n_steps=100,
        total_time=1.0,
    )
    assert (adata.uns["truth"]["weight"] < 0).any()
    control = np.asarray(adata.X)[:300].mean(axis=0)
    sd = np.asarray(adata.X)[:300].std(axis=0)
    # Concavity shifts means of regulated genes by a little; master regulators are exact.
    masters = adata.var["master_regulator"].to_numpy()
    assert np.all(np.abs(control - adata.var["half_response"])[masters] < 4.5 * sd[masters] / np.sqrt(300))
    assert np.all(np.abs(control - adata.var["half_response"]) < 0.35 * sd + 4.5 * sd / np.sqrt(300))


def test_cycles_are_allowed():
    ring = pd.DataFrame({"source": ["A", "B", "C"], "target": ["B", "C", "A"], "weight": [3.0, -2.0, 2.0]})
    adata = sergio(
        ring, perturbations=["A"], cells_per_perturbation=3, kinetics=constants(["A", "B", "C"], basal_production=1.0)
    )
    assert np.isfinite(adata.X).all()


def test_truncated_normals_are_redrawn():
    drawn = positive_normal(np.random.default_rng(0), 0.1, 1.0, 20_000)
    assert drawn.min() > 0
    assert (drawn < 1e-3).mean() < 0.005  # clipping would leave 46 % at the bound


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"perturbations": ["G0001"]}, "Did you mean"),
        ({"half_response": "half"}, "half_response"),
        ({"kind": "activation"}, "overexpression"),
        ({"network": pd.DataFrame({"regulator": ["A"], "target": ["B"]})}, "'source' and 'target'"),
        ({"n_targets": 0}, "n_targets"),
        ({"n_edges": 10_000}, "acyclic"),
        ({"cells_per_perturbation": 0}, "cells_per_perturbation"),
        ({"knockdown": 1.2}, "knockdown"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        sergio(**({"genes": 10, "n_perturbations": 2, "n_targets": 1} | arguments))


@pytest.mark.reference
@pytest.mark.parametrize("file", ["sergio_dag100", "sergio_dag100_midresponse"])
def test_reference_screen_is_reproduced_given_its_network_and_constants(reference, file):
    """Perturbation means differ from the published draw by sampling error only: z scores have SD 1."""
    anndata = pytest.importorskip("anndata")
    there = anndata.read_h5ad(reference / "sergio_dag100" / f"{file}.h5ad")
    edges = there.uns["grn_edges"].rename(columns={"regulator": "source"})
    labels = [p for p in there.obs["perturbation"].unique() if p != "control"]
    here = sergio(edges, genes=list(there.var_names), perturbations=labels, kinetics=there.var, rng=1)

    def moments(adata):
        groups = pd.DataFrame(np.asarray(adata.X), columns=adata.var_names).groupby(
            adata.obs["perturbation"].astype(str).to_numpy()
        )
        return groups.mean(), groups.std()

    mean, sd = moments(there)
    mean_here, sd_here = (m.loc[mean.index] for m in moments(here))
    z = ((mean - mean_here) / np.sqrt((sd**2 + sd_here**2) / 100)).to_numpy()
    assert z.std() == pytest.approx(1, abs=0.05)  # 10,100 correlated z scores
    assert np.abs(z).max() < 5
    assert np.log(sd_here / sd).to_numpy().mean() == pytest.approx(0, abs=0.01)
