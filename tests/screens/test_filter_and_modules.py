"""Filtering of perturbations, modules and the plots of screens."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from scipy.stats import hypergeom, mannwhitneyu

import scdash
from scdash.networks.pathways.gene_sets import membership
from scdash.pl._modules import modules as plot_modules
from scdash.pl.perturbations.perturbation import perturbation as plot_perturbation
from scdash.pl.shared.style import INK
from scdash.pp._perturbations import filter_perturbations
from scdash.simulate._sergio import sergio
from scdash.tl._modules import _factors, enrichment, modules
from scdash.tl._perturbode import fit_perturbode
from scdash.tl._predict_perturbations import predict_perturbations

mpl.use("Agg")


@pytest.fixture(scope="module")
def screen():
    adata = sergio(
        genes=12, n_edges=16, n_perturbations=10, n_targets=1, cells_per_perturbation=25, half_response="mid", rng=1
    )
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
    table = kept.uns["perturbations"].set_index("perturbation")
    assert table.loc[weak, "reason"] == "target not changed" and table.loc[few, "reason"] == "too few cells"
    assert set(kept.obs["perturbation"]) == set(names[2:]) | {"control"}
    gene = adata.var_names.get_loc(names[2])
    of = lambda name: adata.X[(adata.obs["perturbation"] == name).to_numpy(), gene]
    expected = mannwhitneyu(of(names[2]), of("control"), alternative="greater").pvalue
    assert table.loc[names[2], "worst_p"] == pytest.approx(expected)
    with pytest.raises(ValueError, match="No perturbation passes"):
        filter_perturbations(adata, kind="knockout")
    with pytest.raises(KeyError, match="perturbation"):
        filter_perturbations(adata, perturbation_key="perturbed")


def test_filter_warns_where_targets_moved_against_their_kind(screen, caplog):
    names = [p for p in screen.obs["perturbation"].cat.categories if p != "control"]
    kinds = dict.fromkeys(names, "knockout") | {names[0]: "overexpression"}
    kept = filter_perturbations(screen, kind=kinds, copy=True)
    table = kept.uns["perturbations"].set_index("perturbation")
    assert list(table.index[table["kept"]]) == names[:1]
    assert set(table.loc[names[1:], "reason"]) == {"target moved against its kind"}
    assert f"{len(names) - 1} of {len(names)} perturbations with a measured target are removed" in caplog.text
    assert "their kind (knockout)" in caplog.text
    caplog.clear()
    filter_perturbations(screen, copy=True)
    assert "against" not in caplog.text


def test_modules_of_a_fit_and_plots(screen, caplog):
    adata = fit_perturbode(screen, copy=True)
    caplog.clear()
    modules(adata, gene_sets={"some": ["G001", "G002"], "one": ["G003", "XYZ"], "absent": ["XYZ"]}, n_modules=4)
    found = adata.uns["dynamics_modules"]
    targets = found["members"].query("role == 'target'")["gene"].nunique()
    assert "added uns['dynamics_modules'] (see scdash.pl.modules): 2 modules of 3 regulators " in caplog.text
    assert (
        f"and {targets} targets" in caplog.text and f" of {len(found['enrichment'])} tests of gene sets" in caplog.text
    )
    assert set(found["members"]["role"]) <= {"regulator", "target"}
    assert {"some", "one"} == set(found["enrichment"]["term"])  # a set without a measured gene cannot be tested
    labels = [p for p in adata.obs["perturbation"].cat.categories if p != "control"][:2]
    figure = plot_perturbation(adata, predict_perturbations(adata, labels), return_fig=True)
    assert len(figure.axes) == 2 and figure.axes[0].get_title().startswith(f"{labels[0]} (fitted)")
    with pytest.raises(TypeError, match=r"predicted must be the AnnData that scdash.tl.predict_perturbations"):
        plot_perturbation(adata, labels)
    assert plot_modules(adata, show=False) is not None
    with pytest.raises(KeyError, match="scdash.tl.modules"):
        plot_modules(screen)
    with pytest.raises(ValueError, match="perturbation"):
        plot_perturbation(adata, predict_perturbations(adata, labels), perturbations=["G999"])


def test_axes_of_changes_belong_to_the_genes_that_are_no_targets(screen):
    adata = fit_perturbode(screen, copy=True)
    label = next(p for p in adata.obs["perturbation"].cat.categories if p != "control")
    found = predict_perturbations(adata, [label])
    ax = plot_perturbation(adata, found, show=False)
    gene = adata.var_names.get_loc(label)
    others = np.delete(np.stack([found.layers["observed_change"][0], found.layers["change"][0]]), gene, axis=1)
    low, high = ax.get_xlim()
    assert low < others.min() and others.max() < high < found.layers["change"][0, gene]
    far = [t.get_text() for t in ax.texts if ":" in t.get_text()]
    assert far == [f"{label}: {found.layers['observed_change'][0, gene]:.2g}, {found.layers['change'][0, gene]:.2g}"]
    hollow = [c for c in ax.collections if c.get_label() == "targets, off the axes"][0].get_offsets()
    np.testing.assert_allclose(hollow, [[high, high]])


def test_modules_of_an_activating_network_have_positive_leaders(screen):
    adata = fit_perturbode(screen, copy=True)
    modules(adata, n_modules=4, n_sd=0.5)
    members = adata.uns["dynamics_modules"]["members"]
    regulators = members[members["role"] == "regulator"]
    first = regulators.loc[regulators.groupby("module")["weight"].apply(lambda w: w.abs().idxmax())]
    assert (first["weight"] > 0).all()
    weights = adata.uns["dynamics"]["weights"]["A"]
    dense = weights.toarray() if hasattr(weights, "toarray") else np.asarray(weights)
    encode, decode = _factors(adata.uns["dynamics"], len(dense))
    np.testing.assert_allclose(decode @ encode, dense, atol=1e-5)  # the sign leaves the network as it is


def test_history_of_a_matched_screen_shows_what_was_chosen(screen):
    adata = fit_perturbode(screen, copy=True)
    table = adata.uns["dynamics"]["history"]
    ax = scdash.pl.history(adata, show=False)
    settings = table.groupby(["covariation", "activating", "hubs", "mcp"])
    lines = [line for line in ax.lines if line.get_label().startswith("covariation")]
    assert len(lines) == settings.ngroups and sum("(chosen)" in line.get_label() for line in lines) == 1
    dot = next(line for line in ax.lines if line.get_marker() == "o")
    assert dot.get_ydata()[0] == table["held_out_r2"].max()
    assert dot.get_xdata()[0] == pytest.approx(adata.uns["dynamics"]["params"]["lam"])
    black = [line.get_label() for line in lines if to_hex(line.get_color()) in ("#000000", INK)]
    assert len(black) == 1 and "(chosen)" in black[0]
    ticks = ax.get_xticks()
    assert set(np.round(ticks / 10 ** np.floor(np.log10(ticks) + 1e-9), 6)) <= {1, 2, 5}


def test_lists_without_a_hit_are_no_error_of_gseapy(caplog):
    genes = np.array([f"g{i}" for i in range(20)])
    members = pd.DataFrame({"module": [0], "gene": ["g1"], "role": "target", "weight": 1.0})
    table = enrichment(members, membership({"miss": genes[5:9]}, genes, min_size=1, max_size=9, annotated_only=False))
    assert table["p"].tolist() == [1.0] and not caplog.records


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
