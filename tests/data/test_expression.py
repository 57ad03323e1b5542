"""Reading X: the same numbers from every array type, in blocks, with errors that say what to do."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scdash._data import as_expression, check_counts, check_log, expression
from scdash._data import expression_matrix as module

X = np.random.default_rng(0).poisson(1.0, (23, 6))


def test_every_array_type_gives_the_same_blocks(build):
    values = expression(build(X), genes=["g4", "g1"])
    assert values.shape == (23, 2)
    assert values.integers and values.minimum == 0 and values.maximum == X[:, [4, 1]].max()
    np.testing.assert_array_equal(values.dense(), X[:, [4, 1]])
    np.testing.assert_array_equal(values.dense_rows(np.array([2, 19])), X[[2, 19]][:, [4, 1]])
    blocks = [np.asarray(block.todense() if sp.issparse(block) else block) for _, block in values.blocks()]
    np.testing.assert_array_equal(np.concatenate(blocks), X[:, [4, 1]])


def test_blocks_cover_all_rows_once_and_stay_sparse():
    values = as_expression(sp.random(1000, 50, density=0.05, format="csr", random_state=0))
    seen = np.zeros(1000, int)
    for part, block in values.blocks(rows=64):
        assert sp.issparse(block) and block.shape[0] <= 64
        seen[part] += 1
    assert (seen == 1).all()


def test_a_sparse_matrix_is_never_made_dense(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("densified")

    matrix = sp.random(200, 30, density=0.1, format="csr", random_state=0)
    for name in ("toarray", "todense", "__array__"):
        monkeypatch.setattr(sp.csr_matrix, name, refuse, raising=False)
    values = expression(ad.AnnData(matrix), genes=["3", "4"])
    assert sum(len(range(200)[part]) for part, _ in values.blocks()) == 200


def test_layers_and_masks_are_chosen_by_name():
    adata = ad.AnnData(X.astype(float), layers={"logs": np.log1p(X)})
    adata.var["highly_variable"] = [True, False, True, False, False, True]
    assert expression(adata).shape == (23, 3)  # highly variable genes are the default
    assert expression(adata, mask_var=np.ones(6, bool)).shape == (23, 6)
    np.testing.assert_allclose(
        expression(adata, layer="logs", mask_var="highly_variable").dense(), np.log1p(X)[:, [0, 2, 5]]
    )
    with pytest.raises(KeyError, match="Did you mean 'logs'"):
        expression(adata, layer="log")
    with pytest.raises(KeyError, match="mask_var='highly_var'.*Did you mean 'highly_variable'"):
        expression(adata, mask_var="highly_var")
    with pytest.raises(TypeError, match="mask_var must be flags.*int64"):
        expression(adata, mask_var=np.arange(6))
    with pytest.raises(ValueError, match="selects no gene"):
        expression(adata, mask_var=np.zeros(6, bool))


def test_missing_X_names_the_layers():
    adata = ad.AnnData(
        obs=pd.DataFrame(index=list("ab")), var=pd.DataFrame(index=["g"]), layers={"counts": np.ones((2, 1))}
    )
    with pytest.raises(ValueError, match=r"X is empty.*\['counts'\]"):
        expression(adata)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("to", [np.asarray, sp.csr_matrix])
def test_not_finite_names_cell_and_gene(bad, to):
    x = X.astype(float)
    x[7, 2] = bad
    with pytest.raises(ValueError, match="cell 7, gene 'g2'"):
        expression(ad.AnnData(to(x), var=pd.DataFrame(index=[f"g{j}" for j in range(6)])))


def test_a_block_later_than_the_first_is_numbered_by_cell(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 5)
    x = X.astype(float)
    x[17, 0] = np.nan
    monkeypatch.setattr(module.Expression.blocks, "__defaults__", (5,))
    with pytest.raises(ValueError, match="cell 17"):
        as_expression(x)


@pytest.mark.parametrize(
    ("adata", "text"),
    [
        (ad.AnnData(np.zeros((0, 3))), "empty"),
        (ad.AnnData(np.zeros((3, 0))), "empty"),
        (ad.AnnData(np.zeros((1, 3))), "at least 2"),
    ],
)
def test_nothing_to_learn_from(adata, text):
    with pytest.raises(ValueError, match=text):
        expression(adata)


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_duplicate_gene_names_are_named():
    with pytest.raises(ValueError, match="'b'.*var_names_make_unique"):
        expression(ad.AnnData(np.ones((3, 3)), var=pd.DataFrame(index=["a", "b", "b"])))


def test_not_an_anndata():
    with pytest.raises(TypeError, match="ndarray"):
        expression(np.ones((3, 3)))


def test_text_is_refused():
    with pytest.raises(TypeError, match="numbers"):
        as_expression(np.array([["a", "b"], ["c", "d"]]))


def test_counts_against_logs():
    counts, logs = as_expression(X), as_expression(np.log1p(X * 0.7))
    with pytest.raises(ValueError, match="raw counts.*normalize"):
        check_log(counts)
    with pytest.raises(ValueError, match="too large for logarithms"):
        check_log(as_expression(np.array([[0.5, 200.0]])))
    check_log(counts, allow=True)
    check_log(logs)
    check_log(as_expression(np.array([[0.0, 1.0]])))  # a Boolean model's states are not counts
    check_counts(counts)
    with pytest.raises(ValueError, match="logged already"):
        check_counts(logs)
    with pytest.raises(ValueError, match="negative"):
        check_counts(as_expression(X - 1.0))


@pytest.mark.parametrize("kind", [sp.csr_matrix, np.asarray])
def test_a_dask_chunk_is_made_once_for_all_blocks_of_its_rows(kind):
    da = pytest.importorskip("dask.array")
    dense, made = np.random.default_rng(0).random((100, 4)).astype(np.float32), []

    def chunk(block):
        if len(block):  # not when dask asks for the type
            made.append(len(block))
        return kind(block)

    matrix = da.from_array(dense, chunks=(40, -1)).map_blocks(chunk, meta=kind(dense[:0]), dtype=np.float32)
    values = as_expression(matrix)
    made.clear()
    blocks = list(values.blocks(rows=15))
    assert made == [40, 40, 20]
    assert [part.start for part, _ in blocks] == [0, 15, 30, 40, 55, 70, 80, 95]
    found = [block.toarray() if sp.issparse(block) else block for _, block in blocks]
    np.testing.assert_array_equal(np.concatenate(found), dense)


def test_large_dense_dask_chunks_are_read_in_part(monkeypatch):
    da = pytest.importorskip("dask.array")
    dense = np.random.default_rng(0).random((100, 4)).astype(np.float32)
    values = as_expression(da.from_array(dense, chunks=(40, -1)))
    monkeypatch.setattr(module, "CHUNK_BYTES", 100)
    np.testing.assert_array_equal(np.concatenate([block for _, block in values.blocks(rows=15)]), dense)


def test_blocks_have_the_byte_order_of_the_machine():
    values = np.arange(12.0, dtype=">f4").reshape(4, 3)
    blocks = [block for _, block in expression(ad.AnnData(values), min_cells=1).blocks()]
    assert all(block.dtype.isnative for block in blocks)
    np.testing.assert_array_equal(np.vstack(blocks), values)
