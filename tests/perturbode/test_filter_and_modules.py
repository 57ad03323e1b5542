"""Filtering of perturbations, modules and the plots of screens."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy.stats import hypergeom, mannwhitneyu

from scdash.networks._gene_sets import membership
from scdash.pl._modules import modules as plot_modules
from scdash.pl._perturbation import perturbation as plot_perturbation
from scdash.pp._perturbations import filter_perturbations
from scdash.simulate._sergio import sergio
from scdash.tl._modules import enrichment, modules
from scdash.tl._perturbode import fit_perturbode
from scdash.tl._predict_perturbations import predict_perturbations

mpl.use("Agg")


@pytest.fixture(scope="module")
def screen():
    adata = sergio(genes=12, n_edges=16, n_regimes=10, n_targets=1, cells_per_regime=25, half_response="mid", rng=1)
    adata.X = np.log1p(adata.X)
    return adata


def test_filter_is_the_one_sided_mann_whitney_test(screen):
    adata = screen.copy()
    names = [p for p in adata.obs["perturbation"].cat.categories if p != "control"]
    weak, few = names[0], names[1]
    rows = np.flatnonzero(adata.obs["perturbation"] == weak)
    control = np.flatnonzero(adata.obs["perturbation"] == "control")
    adata.X[rows, adata.var_names.get_loc(weak)] = adata.X[control, adata.var_names.get_loc(weak)]
    adata = adata[(adata.obs["perturbation"] != few) | (np.arange(adata.n_obs) % 5 == 0)].copy()
    kept = filter_perturbations(adata, copy=True)
    table = kept.uns["perturbations"].set_index("regime")
    assert table.loc[weak, "reason"] == "target not changed" and table.loc[few, "reason"] == "too few cells"
    assert set(kept.obs["perturbation"]) == set(names[2:]) | {"control"}
    gene = adata.var_names.get_loc(names[2])
    of = lambda name: adata.X[(adata.obs["perturbation"] == name).to_numpy(), gene]
    expected = mannwhitneyu(of(names[2]), of("control"), alternative="greater").pvalue
    assert table.loc[names[2], "worst_p"] == pytest.approx(expected)
    with pytest.raises(ValueError, match="No regime passes"):
        filter_perturbations(adata, kind="knockout")
    with pytest.raises(KeyError, match="perturbation"):
        filter_perturbations(adata, perturbation_key="perturbed")


def test_modules_of_a_fit_and_plots(screen):
    adata = fit_perturbode(screen, copy=True)
    modules(adata, gene_sets={"some": ["G001", "G002"], "one": ["G003", "XYZ"], "absent": ["XYZ"]}, n_modules=4)
    found = adata.uns["dynamics_modules"]
    assert set(found["members"]["role"]) <= {"regulator", "target"}
    assert {"some", "one"} == set(found["enrichment"]["term"])  # a set without a measured gene can not be tested
    labels = [p for p in adata.obs["perturbation"].cat.categories if p != "control"][:2]
    figure = plot_perturbation(adata, predict_perturbations(adata, labels), return_fig=True)
    assert len(figure.axes) == 2 and labels[0] in figure.axes[0].get_title()
    assert plot_modules(adata, show=False) is not None
    with pytest.raises(KeyError, match="scdash.tl.modules"):
        plot_modules(screen)
    with pytest.raises(ValueError, match="regime"):
        plot_perturbation(adata, predict_perturbations(adata, labels), regimes=["G999"])


def test_enrichment_is_hypergeometric_and_corrected_over_all_sets():
    genes = np.array([f"g{i}" for i in range(50)])
    members = pd.DataFrame(
        {"module": [0] * 5 + [1] * 2, "gene": [*genes[:5], "g40", "g41"], "role": "target", "weight": 1.0}
    )
    sets = {"hit": genes[:8], "miss": genes[20:30], "part": ["g40", "nothing"]}
    table = enrichment(members, membership(sets, genes, min_size=1, max_size=50, annotated_only=False))
    assert len(table) == 6  # every module against every set, also those without a hit
    first = table.set_index(["module", "term"])
    p = hypergeom.sf(4, 50, 8, 5)
    assert first.loc[(0, "hit"), "p"] == pytest.approx(p)
    assert first.loc[(0, "hit"), "fdr"] == pytest.approx(6 * p)
    assert first.loc[(0, "miss"), "p"] == 1
    assert first.loc[(1, "part"), "p"] == pytest.approx(hypergeom.sf(0, 50, 1, 2))
    assert first.loc[(1, "part"), "genes"] == "g40"
