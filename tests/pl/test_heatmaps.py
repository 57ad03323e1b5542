"""Heat maps: effects, coregulation and masks show the right entries, in the right orientation and order."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from scdash import pl
from scdash.pl._coregulation import effect_correlation
from scdash.pl._masks import block_density, percent
from scdash.pl.shared.order import cluster_order, staircase_order, strongest_in_blocks

small = arrays(
    float, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([-2.0, -1, 0, 0, 0, 1, 3])
)


def shown(ax) -> pd.DataFrame:
    """The image as a table, by the names on its sides."""
    names = [[label.get_text() for label in labels] for labels in (ax.get_yticklabels(), ax.get_xticklabels())]
    return pd.DataFrame(np.asarray(ax.images[0].get_array()), index=names[0], columns=names[1])


def stored(adata) -> pd.DataFrame:
    return pd.DataFrame(adata.varp["dynamics_grn"].toarray(), index=adata.var_names, columns=adata.var_names)


@pytest.mark.parametrize("order", ["staircase", "cluster", "given"])
@pytest.mark.parametrize("regulators_on", ["rows", "columns"])
def test_effects_show_the_network_row_regulates_column(adata, order, regulators_on) -> None:
    ax = pl.effects(adata, order=order, regulators_on=regulators_on)
    table, network = shown(ax), stored(adata)
    if regulators_on == "columns":
        table = table.T
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("regulator", "target")
    else:
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("target", "regulator")
    pd.testing.assert_frame_equal(table, network.loc[table.index, table.columns], check_dtype=False)
    assert np.count_nonzero(table) == np.count_nonzero(network)  # no edge is lost, no empty gene is shown
    assert table.any(axis=1).all() and table.any(axis=0).all()


def test_effects_colours_are_symmetric_about_zero_and_white_there(adata) -> None:
    image = pl.effects(adata).images[0]
    assert image.norm.vcenter == 0 and image.norm.vmin == -image.norm.vmax
    np.testing.assert_allclose(image.cmap(image.norm(0.0))[:3], 0.97, atol=0.02)
    red, blue = image.cmap(image.norm(1e9)), image.cmap(image.norm(-1e9))
    assert red[0] > red[2] and blue[2] > blue[0]
    image = pl.effects(adata, vmax=3).images[0]
    assert (image.norm.vmin, image.norm.vmax) == (-3, 3)
    with pytest.raises(ValueError, match="vmin < vcenter < vmax"):
        pl.effects(adata, vmin=1, vmax=3)


def test_effects_truth_and_prior_share_the_order(adata) -> None:
    model, truth, prior = pl.effects(adata, truth="truth", prior=adata.uns["prior"])
    for ax, name in ((truth, "truth"), (prior, "prior")):
        table = adata.uns[name]
        expected = table.pivot(index="source", columns="target", values="weight")
        rows, columns = shown(model).index, shown(model).columns
        expected = expected.reindex(index=rows, columns=columns).fillna(0)
        np.testing.assert_array_equal(ax.images[0].get_array(), expected)
        assert ax.get_title(loc="left") == f"{name}: {len(table)} edges"
        assert not any(label.get_text() for label in ax.get_yticklabels())  # named once, on the left
    assert len(model.figure.axes) == 4  # one colour bar: signs need none


def test_effects_contributions_keep_the_sign_of_the_weight(adata) -> None:
    ax = pl.effects(adata, values="contribution", order="given")
    edges = adata.uns["dynamics"]["edges"]
    table = shown(ax)
    for edge in edges.itertuples():
        assert table.loc[edge.source, edge.target] == pytest.approx(edge.contribution * np.sign(edge.weight))
    assert ax.figure.axes[1].get_ylabel() == "relative contribution"


def test_effects_of_chosen_and_of_top_genes(adata) -> None:
    table = shown(pl.effects(adata, regulators=["TF2", "TF0"], targets=["GENE1", "GENE0", "TF5"], order="given"))
    pd.testing.assert_frame_equal(
        table, stored(adata).loc[["TF2", "TF0"], ["GENE1", "GENE0", "TF5"]], check_dtype=False
    )
    top = shown(pl.effects(adata, n_top=3))
    strength = stored(adata).abs().sum(axis=1)
    assert set(top.index) == set(strength.nlargest(3).index) and top.shape == (3, 3)
    with pytest.raises(ValueError, match="regulators: 'TF9' is not in the model. Did you mean"):
        pl.effects(adata, regulators=["TF9"])
    with pytest.raises(ValueError, match="None of the genes asked for has an effect"):
        pl.effects(adata, regulators=["GENE0"])
    with pytest.raises(ValueError, match="n_top must be at least 1"):
        pl.effects(adata, n_top=0)
    with pytest.raises(ValueError, match="Unknown order 'clusters'. Did you mean 'cluster'"):
        pl.effects(adata, order="clusters")


def test_effects_of_a_table_and_of_a_matrix_equal_those_of_the_adata(adata) -> None:
    expected = shown(pl.effects(adata))
    table = adata.uns["dynamics"]["edges"]
    pd.testing.assert_frame_equal(shown(pl.effects(table)), expected, check_dtype=False, atol=1e-6)
    matrix = pl.effects(adata.varp["dynamics_grn"], genes=list(adata.var_names))
    pd.testing.assert_frame_equal(shown(matrix), expected)


def test_effects_of_many_genes_are_the_strongest_of_blocks() -> None:
    rng = np.random.default_rng(0)
    matrix = sparse.random_array(
        (450, 450), density=0.01, rng=rng, data_sampler=lambda size: rng.normal(size=size), format="csr"
    )
    everyone = [str(i) for i in range(450)]
    ax = pl.effects(matrix, order="given", regulators=everyone, targets=everyone)
    assert ax.images[0].get_array().shape == (150, 150)
    assert np.abs(ax.images[0].get_array()).max() == np.abs(matrix.data).max()
    assert ax.get_xlabel().startswith("450 targets") and "strongest of 3 x 3" in ax.get_xlabel()
    assert len(ax.get_xticks()) == 0


def test_effects_of_a_genome_are_never_dense() -> None:
    n = 11_165
    matrix = sparse.random_array((n, n), density=1e-3, rng=np.random.default_rng(0), format="csr")
    ax = pl.effects(matrix, n_top=30)  # dense it would take a gigabyte
    regulators, targets = ax.images[0].get_array().shape  # regulators without a target shown are left out
    assert 0 < regulators <= 30 and targets == 30


def test_an_empty_network_says_so(adata) -> None:
    adata.varp["dynamics_grn"] = sparse.csr_matrix(adata.varp["dynamics_grn"].shape)
    with pytest.raises(ValueError, match="no edge"):
        pl.effects(adata)
    with pytest.raises(ValueError, match="0 regulator with an effect"):
        pl.coregulation(adata)


# orders


@given(small)
def test_staircase_is_a_permutation_with_hubs_first_and_targets_behind_their_regulator(effects) -> None:
    rows, columns = staircase_order(effects)
    assert sorted(rows) == list(range(len(effects))) and sorted(columns) == list(range(effects.shape[1]))
    sizes = np.count_nonzero(effects[rows], axis=1)
    assert (np.diff(sizes) <= 0).all()
    moved = np.abs(effects[np.ix_(rows, columns)])
    # ties between equally strong regulators may fall either way, so only targets with one strongest are evaluated
    clear = [j for j in range(moved.shape[1]) if (moved[:, j] == moved[:, j].max()).sum() == 1]
    assert (np.diff(moved[:, clear].argmax(axis=0)) >= 0).all()


@given(small)
def test_cluster_order_is_a_permutation_with_zeros_last(effects) -> None:
    order = cluster_order(effects)
    assert sorted(order) == list(range(len(effects)))
    empty = ~effects[order].any(axis=1)
    assert (np.diff(empty.astype(int)) >= 0).all()


def test_cluster_order_joins_equal_profiles() -> None:
    groups = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 5))
    profiles = np.eye(3)[groups] + np.random.default_rng(1).normal(0, 0.05, (15, 3))
    assert np.count_nonzero(np.diff(groups[cluster_order(profiles)])) == 2


@given(small, st.integers(1, 5))
def test_blocks_keep_their_strongest_effect(effects, most) -> None:
    found, (height, width) = strongest_in_blocks(effects, most)
    assert max(found.shape) <= most
    for (i, j), value in np.ndenumerate(found):
        block = effects[i * height : (i + 1) * height, j * width : (j + 1) * width]
        assert abs(value) == np.abs(block).max() and value in block


# coregulation


@given(small)
def test_sparse_correlation_is_numpys(effects) -> None:
    found = effect_correlation(sparse.csr_array(effects))
    varies = effects.std(axis=1) > 1e-12
    if varies.any():
        expected = np.atleast_2d(np.corrcoef(effects[varies]))
        np.testing.assert_allclose(found[np.ix_(varies, varies)], expected, atol=1e-7)
    empty = ~effects.any(axis=1)
    assert np.isnan(found[empty]).all()


def test_coregulation_shows_correlations_beside_the_truth(adata) -> None:
    model, truth = pl.coregulation(adata, truth="truth")
    names = [label.get_text() for label in model.get_yticklabels()]
    expected = np.corrcoef(stored(adata).loc[names])
    np.fill_diagonal(expected, np.nan)  # 1 by definition, left grey
    np.testing.assert_allclose(np.ma.filled(model.images[0].get_array(), np.nan), expected, atol=1e-6)
    assert names == [label.get_text() for label in truth.get_xticklabels()]
    norm = model.images[0].norm
    assert norm.vmax == -norm.vmin and norm.vmax < 0.6  # not scaled by the diagonal
    given = pl.coregulation(adata, vmin=-1, vmax=1).images[0].norm
    assert (given.vmin, given.vmax) == (-1, 1)


def test_coregulation_marks_regulators_without_an_effect(adata) -> None:
    grn = adata.varp["dynamics_grn"].tolil()
    grn[2] = 0
    adata.varp["dynamics_grn"] = grn.tocsr()
    model, _ = pl.coregulation(adata, truth="truth")
    assert model.get_title(loc="left") == "model (1 without an effect, grey)"
    assert (
        np.ma.count_masked(np.ma.masked_invalid(model.images[0].get_array())) == 11 + 5
    )  # its row and column, and the diagonal


def test_coregulation_needs_two_regulators(adata) -> None:
    assert len(pl.coregulation(adata, n_top=4).get_yticklabels()) == 4
    with pytest.raises(ValueError, match="1 regulator with an effect found"):
        pl.coregulation(adata, regulators=["TF0"])


# masks


def test_masks_show_what_is_left_with_genes_across(adata) -> None:
    axes = pl.masks(adata)
    masks = adata.uns["dynamics"]["masks"]
    assert [ax.get_title(loc="left").split(":")[0] for ax in axes] == ["W_sums", "W_prods", "U_sums", "U_prods"]
    for ax, name in zip(axes, ["W_sums", "W_prods", "U_sums", "U_prods"], strict=True):
        mask = masks[name].toarray()
        expected = mask if name.startswith("W") else mask.T
        np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()) > 0, expected)
        assert percent(mask.mean()) in ax.get_title(loc="left")


@pytest.mark.parametrize("hidden", [5, 24])  # 24: as many hidden units as genes
def test_the_sides_of_masks_are_named_by_the_layer_not_by_its_size(adata, hidden: int) -> None:
    n = adata.n_vars
    rng = np.random.default_rng(0)
    made = {"W_sums": (hidden, n), "U_sums": (n, hidden), "W1": (hidden, n), "W2": (hidden, hidden), "W10": (n, hidden)}
    made |= {"B": (hidden, n), "A": (n, hidden), "S": (n, n), "U_prods": (n, 30)}
    weights = {name: sparse.csr_matrix(rng.random(shape) < 0.2) for name, shape in made.items()}
    adata.uns["dynamics"] |= {"weights": weights, "masks": {}}
    sides = {ax.get_title(loc="left").split(":")[0]: (ax.get_xlabel(), ax.get_ylabel()) for ax in pl.masks(adata)}
    first, last = ("regulator gene", "hidden unit"), ("target gene", "hidden unit")
    assert sides == {
        "W_sums": first, "U_sums": last, "W1": first, "W2": ("hidden unit", "hidden unit"), "W10": last, "B": first, "A": last,
        "S": ("regulator", "target"), "U_prods": ("target gene", "pair of regulators"),
    }  # fmt: skip
    for name in ("U_sums", "A", "W10"):  # genes across, as many hidden units as there may be
        image = np.asarray(pl.masks(adata, names=name).images[0].get_array())
        np.testing.assert_array_equal(image > 0, weights[name].toarray().T)


def test_masks_fall_back_on_weights_and_name_unknown_matrices(adata) -> None:
    adata.uns["dynamics"]["masks"] = {}
    ax = pl.masks(adata, names="W_sums")
    assert np.count_nonzero(ax.images[0].get_array()) == adata.uns["dynamics"]["weights"]["W_sums"].nnz
    with pytest.raises(ValueError, match="Unknown weight matrix 'W_sum'. Did you mean 'W_sums'"):
        pl.masks(adata, names=["W_sum"])
    with pytest.raises(ValueError, match="No weight matrix"):
        pl.masks(adata, names=[])


def test_a_large_gene_wise_matrix_is_drawn_in_blocks(adata) -> None:
    n = 900
    weights = sparse.random_array((n, n), density=0.002, rng=np.random.default_rng(0), format="csr")
    adata.uns["dynamics"] |= {"weights": {"U_sums": weights, "v": np.ones(n)}, "masks": {}}
    ax = pl.masks(adata)
    assert max(ax.images[0].get_array().shape) <= 200 and "blocks of" in ax.get_xlabel()
    assert ax.get_title(loc="left") == "U_sums: 0.2 % of 900 x 900 left"
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, n), (n, 0))


@given(small, st.integers(1, 5))
def test_block_density_is_the_mean_of_blocks(pattern, most) -> None:
    found, (height, width) = block_density(sparse.csr_array(pattern != 0), most)
    for (i, j), value in np.ndenumerate(found):
        block = pattern[i * height : (i + 1) * height, j * width : (j + 1) * width]
        assert value == pytest.approx(np.mean(block != 0))


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.0494, "4.9 %"), (0.00238, "0.24 %"), (0.0999, "10 %"), (0.3, "30 %")],
)
def test_percent_reads_well(share, text) -> None:
    assert percent(share) == text
