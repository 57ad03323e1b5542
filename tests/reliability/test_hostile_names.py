"""Names of users hold every character: results are the same whatever genes, trajectories, batches and labels are called."""

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import scdash

HOSTILE = [
    "donor#1", "donor#1#2", "a:b", "a|b", "HLA-DRB3/4", " ", "  x", "x ", "é µ 細胞", "None", "nan", "1", "1.0", "#", ":", "|",
    "all", "all#1", "A+B", "a.b", "x'y", 'x"y', "train", "../up", "%s", "{0}", "\\", "$x$",
]  # fmt: skip
# What counts as a missing label (`scdash._data.read_labels`) names no trajectory and no perturbation.
LABELS = [name for name in HOSTILE if name.strip() and name not in ("nan", "None")]
TIMES = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}


@pytest.fixture(autouse=True)
def quiet():
    before, scdash.settings.verbosity = scdash.settings.verbosity, 0
    yield
    scdash.settings.verbosity = before
    plt.close("all")


def through_a_file(data, folder):
    if hasattr(data, "mod"):
        import mudata

        data.write_h5mu(folder / "data.h5mu")
        return mudata.read_h5mu(folder / "data.h5mu")
    data.write_h5ad(folder / "data.h5ad")
    return ad.read_h5ad(folder / "data.h5ad")


def course():
    return scdash.simulate.grn_dynamics(n_genes=16, n_trajectories=16, n_test=3, noise=0.02, rng=3)


def renamed(adata, genes, trajectories):
    """Return the same time courses with other names of genes and trajectories."""
    adata = adata.copy()
    old, name_of = list(adata.var_names), dict(zip(adata.var_names, genes, strict=False))
    adata.var_names = [name_of.get(gene, gene) for gene in old]
    for table in ("prior", "truth"):
        adata.uns[table] = adata.uns[table].replace({"source": name_of, "target": name_of})
    known = list(adata.obs["trajectory"].cat.categories)
    adata.obs["trajectory"] = adata.obs["trajectory"].cat.rename_categories(
        dict(zip(known, trajectories, strict=False))
    )
    return adata


def names(count, known=HOSTILE):
    text = st.text(alphabet="#:|/+. aé0", min_size=1, max_size=6).filter(lambda name: name.strip(". ") != "")
    return st.lists(st.one_of(st.sampled_from(known), text), min_size=count, max_size=count, unique=True)


@pytest.fixture(scope="module")
def plain():
    adata = course()
    scdash.tl.fit_dynamics(adata, prior=adata.uns["prior"], training=scdash.Training(max_epochs=0), **TIMES)
    return adata


@settings(max_examples=3, suppress_health_check=list(HealthCheck))
@given(genes=names(8), trajectories=names(10, LABELS))
@example(genes=HOSTILE[:8], trajectories=LABELS[:10])
@example(genes=HOSTILE[8:24], trajectories=LABELS[8:24])
def test_dynamics_are_those_of_plain_names(plain, tmp_path_factory, genes, trajectories):
    adata = renamed(course(), genes, trajectories)
    scdash.tl.fit_dynamics(adata, prior=adata.uns["prior"], training=scdash.Training(max_epochs=0), **TIMES)
    regulator = adata.var_names[np.asarray((adata.varp["dynamics_grn"] != 0).sum(axis=1)).ravel().argmax()]
    scdash.tl.gene_influence(adata, n_starts=3, progress=False)
    scdash.tl.perturbation_scores(adata)
    scdash.tl.network_stats(adata, n_random=2)
    scdash.tl.coregulation(adata)
    scdash.tl.perturbation_shift(adata, regulator, groupby="trajectory")
    scdash.tl.pathways(adata, {"a/b": list(adata.var_names[:6]), "c#1": list(adata.var_names[6:12])}, min_size=2,
                       n_permutations=20)  # fmt: skip
    back = through_a_file(adata, tmp_path_factory.mktemp("hostile"))
    for data in (adata, back):
        predicted = scdash.tl.predict(data)
        assert list(predicted.var_names) == list(adata.var_names)
        assert set(predicted.obs["trajectory"]) == set(adata.obs["trajectory"])
        np.testing.assert_array_equal(predicted.X, scdash.tl.predict(plain).X)
        edges, expected = scdash.get.grn(data), scdash.get.grn(plain)
        np.testing.assert_array_equal(edges["weight"].abs().sort_values(), expected["weight"].abs().sort_values())
        assert set(edges["source"]) | set(edges["target"]) <= set(adata.var_names)
        assert set(scdash.get.influence(data)["gene"]) == set(adata.var_names)
        assert set(scdash.get.perturbable_genes(data)["gene"]) == set(adata.var_names)
        scores = scdash.get.perturbation_scores(data)
        assert set(scores["lineage"]) == set(adata.obs["trajectory"].cat.categories)
        assert set(scdash.get.pathways(data, fit="dynamics")["pathway"]) == {"a/b", "c#1"}
        assert regulator in set(scdash.get.subnetwork(data, regulator)["source"])
        knocked = through_a_file(scdash.tl.perturb(data, regulator), tmp_path_factory.mktemp("knocked"))
        assert list(knocked.uns["perturbation"]["gene"]) == [regulator]
        scdash.pl.knockout_trends(knocked, show=False)
        scdash.pl.network(data, show=False)
        trajectory = str(adata.obs["trajectory"].iloc[0])
        scdash.pl.trends(data, [regulator], trajectories=[trajectory], show=False)
        scdash.pl.perturbation_scores(data, lineage=trajectory, show=False)
        plt.close("all")


def cells_of(lineages, batches, rng=0):
    """Cells along pseudotime: each (lineage, batch) has its own."""
    generator = np.random.default_rng(rng)
    parts = []
    for number in range(len(lineages)):
        place = np.sort(generator.random(70))
        values = np.exp(-((place[:, None] - np.linspace(0, 1, 10)) ** 2) / 0.1) * 3 + 0.1 * number
        part = ad.AnnData((values + 0.2 * generator.random(values.shape)).astype(np.float32))
        part.obs["dpt_pseudotime"] = place
        part.obs["lineage"], part.obs["batch"] = lineages[number], batches[number]
        parts.append(part)
    cells = ad.concat(parts)
    cells.obs_names = [f"c{i}" for i in range(cells.n_obs)]
    cells.var_names = [f"g{i}" for i in range(cells.n_vars)]
    return cells


# In the first rows lineage and batch would give the same joined name: "a:b" with "c", and "a" with "b:c".
GROUPS = [
    (["a:b", "a", "x#1", "x"], ["c", "b:c", "d", "d"]),
    (["a|b", "a", "x/1", "%"], ["c", "b|c", "#", "d/e"]),
    (["all", "all#1", "all#2", "all#1#1"], ["d", "d", "d", "d"]),
]


@pytest.mark.parametrize(("lineages", "batches"), GROUPS)
def test_lineages_and_batches_are_never_merged(lineages, batches, tmp_path):
    hostile = cells_of(lineages, batches)
    plain = cells_of([f"l{list(dict.fromkeys(lineages)).index(name)}" for name in lineages],
                     [f"b{list(dict.fromkeys(batches)).index(name)}" for name in batches])  # fmt: skip
    found = {}
    for name, cells in (("hostile", hostile), ("plain", plain)):
        bins = scdash.pp.trajectories(cells, lineage_key="lineage", batch_key="batch", n_bins=6, n_bootstrap=2)
        assert bins.obs["trajectory"].nunique() == 12
        assert bins.obs_names.is_unique
        scdash.tl.fit_dynamics(bins, progress=False, training=scdash.Training(max_epochs=0))
        scdash.tl.fit_dynamics(
            cells,
            trajectory_key="lineage",
            batch_key="batch",
            observations=scdash.Cells(n_bins=6),
            progress=False,
            training=scdash.Training(max_epochs=0),
            validation=scdash.Validation(null_models=False),
        )
        (tmp_path / name).mkdir()
        for data in (cells, through_a_file(bins, tmp_path / name)):
            predicted = scdash.tl.predict(data)
            assert predicted.obs["trajectory"].nunique() == 4  # bootstraps are no starts of their own
            scdash.tl.perturbation_scores(data, genes=[data.var_names[0]])
            scores = scdash.get.perturbation_scores(data)
            assert set(scores["lineage"]) == set(cells.obs["lineage"]) and (scores["n_trajectories"] == 1).all()
            ax = scdash.pl.trends(data, [data.var_names[0]], cells=False, show=False)
            bands = [band for band in ax.collections if band.get_gid() == "resampled"]
            assert len(bands) == len(ax.get_lines()) == 4  # one of each trajectory, from its own resampled cells
            plt.close("all")
        found[name] = np.sort(cells.obs["dynamics_position"].to_numpy())
    np.testing.assert_allclose(found["hostile"], found["plain"])  # ranks within the same groups


@pytest.mark.parametrize(("lineages", "batches"), GROUPS[:2])
def test_every_group_is_ordered_from_its_own_root(lineages, batches, tmp_path):
    cells = cells_of(lineages, batches)
    scdash.pp.order_cells(
        cells, root={"g0": "high"}, lineage_key="lineage", batch_key="batch", n_neighbors=25, key_added="order"
    )
    roots = through_a_file(cells, tmp_path).uns["order"]["roots"]
    assert sorted(zip(roots["lineage"], roots["batch"], strict=True)) == sorted(zip(lineages, batches, strict=True))
    assert (cells.obs.loc[list(roots["root"]), "order"] == 0).all()


@settings(max_examples=3, suppress_health_check=list(HealthCheck))
@given(genes=names(8, LABELS))
@example(genes=["G/1", "A+B", "x#1", "a:b", "+", "é", "NA", " y"])
def test_screens_take_any_gene_name(genes, tmp_path_factory):
    genes = [gene.strip() or "blank" for gene in genes]  # labels are read without spaces around them
    if len(set(genes)) < len(genes) or {"control"} & set(genes):
        return
    screen = scdash.simulate.sergio(
        genes=10, n_edges=14, perturbations=[f"G{i:03d}" for i in range(8)], cells_per_perturbation=25, rng=2
    )
    sc.pp.log1p(screen)
    name_of = dict(zip([f"G{i:03d}" for i in range(8)], genes, strict=True))
    screen.var_names = [name_of.get(gene, gene) for gene in screen.var_names]
    screen.obs["perturbation"] = pd.Categorical([name_of.get(str(x), str(x)) for x in screen.obs["perturbation"]])
    scdash.pp.filter_perturbations(screen, max_p=1.0)
    kind = dict.fromkeys(genes, "overexpression")
    scdash.tl.fit_perturbode(screen, model=scdash.models.PerturbODE(kind=kind))
    scdash.tl.modules(screen, n_modules=3)
    back = through_a_file(screen, tmp_path_factory.mktemp("screen"))
    for data in (screen, back):
        assert set(data.uns["dynamics"]["screen"]["perturbations"]) == {"control", *genes}
        predicted = scdash.tl.predict_perturbations(data, genes[:3])
        assert list(predicted.obs["status"]) == ["fitted"] * 3
        through_a_file(predicted, tmp_path_factory.mktemp("predicted"))
        assert len(scdash.tl.stability(data, n_repeats=2))


@pytest.mark.slow
def test_paired_modalities_take_any_name(tmp_path):
    mdata = scdash.simulate.paired(n_cells=60, n_genes=15, n_features=4, n_informative=4, rng=0)
    rna, features = mdata.mod["rna"], mdata.mod["ephys"]
    rna.var_names = [*HOSTILE[:10], *rna.var_names[10:]]
    features.var_names = ["AP width (ms/2)", "a#1", "é", " "]
    mdata.update()
    scdash.pp.normalize_paired(mdata)
    scdash.tl.srrr(mdata, n_features=6)
    back = through_a_file(mdata, tmp_path)
    for data in (mdata, back):
        assert set(scdash.get.selected_genes(data, key="srrr")["gene"]) <= set(rna.var_names)
        result = scdash.tl.predict(data, key="srrr")
        assert list(result.var_names) == list(features.var_names)
        np.testing.assert_array_equal(result.X, scdash.tl.predict(mdata, key="srrr").X)
        scdash.pl.sbnn(data, key="srrr", show=False)
