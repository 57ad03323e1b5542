"""The loader's parser on small files of the published layout, and what it says offline."""

from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from scdash._data import without_pulling
from scdash.datasets import _patchseq
from scdash.datasets._reference import VARIABLE

CELLS = ["20180918sample1", "20180918sample2", "20180917sample4"]
COUNTS = pd.DataFrame([[3, 0, 12], [0, 5, 700]], index=pd.Index(["Gad1", "Pvalb"], name="gene"), columns=CELLS)
EPHYS = pd.DataFrame([[75.5, -1.27], [86.7, -1.43], [60.2, -1.33]], index=CELLS[::-1], columns=["AP amp", "AP amp CV"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    COUNTS.to_csv(tmp_path / "gene_counts.csv")
    EPHYS.to_csv(tmp_path / "ephys_values.csv")
    (tmp_path / "m1_patchseq_meta_data.csv").write_text(
        "Number\tCell\tMouse\tCre\tRNA family\tRNA type\tRNA type confidence\tSoma depth (µm)\n"
        "1\t20180918_sample_1\tmouse_A\tVIP+\tVip\tVip Mybpc1_3\t0.95\t244.2\n"
        "2\t20180918_sample_2\tmouse_A\tVIP+\tVip\tVip Gpc3\t0.81\t120.0\n"
        "3\t20991231_sample_9\tmouse_B\tPV-\tPvalb\tPvalb Il1rapl2\t1.00\t300.1\n",
        encoding="utf-8",
    )
    return tmp_path


def test_parser(folder: Path, api: SimpleNamespace) -> None:
    mdata = api.patchseq(folder=folder, check=False)
    assert mdata.obs_names.tolist() == EPHYS.index.tolist()
    np.testing.assert_array_equal(mdata["rna"].X.toarray(), COUNTS.T.loc[EPHYS.index].to_numpy())
    np.testing.assert_array_equal(mdata["ephys"].X, EPHYS.to_numpy())
    assert mdata["rna"].var_names.tolist() == ["Gad1", "Pvalb"]
    assert mdata["ephys"].var.loc["AP amp CV", "transform"] == "ln"
    assert mdata.obs.loc["20180918sample1", "rna_type"] == "Vip Mybpc1_3"
    assert pd.isna(mdata.obs.loc["20180917sample4", "rna_family"])
    assert mdata.obs["rna_type_confidence"].dtype == float


def test_other_tables_are_noticed(folder: Path, api: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match=r"not the published ones \(counts differ"):
        api.patchseq(folder=folder)


def test_a_missing_file_is_named_with_its_address(folder: Path, api: SimpleNamespace) -> None:
    (folder / "ephys_values.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no file 'ephys_values.csv'; download it from https://raw"):
        api.patchseq(folder=folder)


def test_without_hashes_it_says_what_to_download_and_uses_no_network(
    api: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *arguments: pytest.fail("the network was used"))
    monkeypatch.setenv(VARIABLE, "no such folder")
    with pytest.raises(FileNotFoundError, match=r"Download https://.*gene_counts.csv, .* into one folder"):
        api.patchseq()
    with pytest.raises(ValueError, match=r"sha256 must hold the hashes of .*, found \['gene_counts.csv'\]"):
        api.patchseq(sha256={"gene_counts.csv": "0" * 64})


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Serve the files on this machine; return their hashes."""
    pooch = pytest.importorskip("pooch")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *arguments: None)
    monkeypatch.setattr(pooch, "os_cache", lambda name: folder / "cache")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        monkeypatch.setattr(_patchseq, "URLS", {n: f"http://127.0.0.1:{http.server_port}/{n}" for n in _patchseq.URLS})
        yield {name: sha256((folder / name).read_bytes()).hexdigest() for name in _patchseq.URLS}
        http.shutdown()


def test_given_hashes_decide_what_is_downloaded(folder: Path, api: SimpleNamespace, server: dict[str, str]) -> None:
    assert api.patchseq(sha256=server, check=False).n_obs == 3
    with (folder / "ephys_values.csv").open("a") as file:
        file.write("20180917sample5,1,1\n")
    assert api.patchseq(sha256=server, check=False).n_obs == 3  # the cache holds what the hash names
    (folder / "cache" / "patchseq_m1" / "ephys_values.csv").unlink()
    with pytest.raises(ValueError, match=r"ephys_values.csv is not the file of sha256=.*nothing was read"):
        api.patchseq(sha256=server, check=False)
    assert not (folder / "cache" / "patchseq_m1" / "ephys_values.csv").exists()


def test_offline_says_what_to_download(api: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    pooch = pytest.importorskip("pooch")

    def no_network(*args: object, **options: object) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(pooch, "retrieve", no_network)
    with pytest.raises(FileNotFoundError, match=r"ConnectionError.*Download https://.*gene_counts.csv"):
        api.patchseq(sha256=dict.fromkeys(_patchseq.URLS, "0" * 64))


@pytest.mark.reference
def test_the_reference_data_are_the_published_tables(
    reference: Path, api: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a folder the file of the reference data is read, passes the checks, and its folds are the paper's."""
    import mudata

    monkeypatch.setenv(VARIABLE, str(reference))
    mdata = api.patchseq()
    with without_pulling():
        stored = mudata.read_h5mu(reference / "patchseq_m1" / "m1_patchseq.h5mu")
    np.testing.assert_array_equal(mdata["rna"].X.toarray(), stored["rna"].X.toarray())
    np.testing.assert_array_equal(mdata["ephys"].X, stored["ephys"].X)
    assert mdata.obs_names.equals(stored.obs_names)
    for column in (*_patchseq.ANNOTATIONS, "cv_fold"):
        assert mdata.obs[column].tolist() == stored.obs[column].tolist()
    np.testing.assert_array_equal(_patchseq.published_folds(1213), stored.obs["cv_fold"])
