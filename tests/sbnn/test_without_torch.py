"""What needs no torch: linear fits, predictions, tables and figures, on whatever generation of MuData is installed."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
import numpy as np
import mudata
from scdash.simulate._paired import paired
from scdash.pp._paired import normalize_paired, select_by_dropout
from scdash.tl._srrr import srrr
from scdash.paired.application import predict_mudata
from scdash.get._sbnn import selected_genes as genes
from scdash.pl.paired.sbnn import sbnn as draw
import matplotlib
matplotlib.use("Agg")
mdata = paired(n_cells=80, n_genes=25, n_features=4, n_informative=4)
select_by_dropout(mdata, n_top_genes=20, threshold=300)
normalize_paired(mdata)
srrr(mdata, n_features=4)
mdata.update()
mdata.write(sys.argv[1])
back = mudata.read_h5mu(sys.argv[1])
assert np.array_equal(back.obsm["X_srrr"], mdata.obsm["X_srrr"])
assert back.obs["srrr_split"].tolist() == mdata.obs["srrr_split"].tolist()
assert np.array_equal(predict_mudata(back, key="srrr").X, predict_mudata(mdata, key="srrr").X)
assert np.allclose(predict_mudata(back, key="srrr").X, back["ephys"].layers["srrr"], atol=1e-5)
assert genes(back, key="srrr").equals(genes(mdata, key="srrr"))
assert back["rna"].var["srrr_selected"].sum() == 4
draw(back, "cell_type", key="srrr", show=False)
assert "torch" not in sys.modules
print("mudata", mudata.__version__)
"""


def test_linear_fit_round_trip_and_figure_without_torch(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path / "x.h5mu")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("mudata")
