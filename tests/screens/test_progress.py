"""One bar, with an estimate, over the whole of a fit of a screen."""

import re

import pytest
import scanpy

import scdash
from scdash._core.logging import Whole
from scdash.screens.work import CHOOSING, NETWORK, READING, TRANSPORT, VALIDATING, WRITING


def screen():
    adata = scdash.simulate.sergio(genes=12, n_perturbations=8, n_targets=1, cells_per_perturbation=25, rng=0)
    scanpy.pp.log1p(adata)
    return adata


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        (scdash.models.PerturbODE(), [READING, CHOOSING, VALIDATING, NETWORK, WRITING]),
        (scdash.models.PerturbODE(fit=scdash.models.Transport(steps=20)), [READING, TRANSPORT, WRITING]),
    ],
    ids=["equilibrium", "transport"],
)
def test_every_part_moves_the_bar_of_the_whole_fit_to_its_end(model, parts, monkeypatch, capsys) -> None:
    moved, advance, bars = [], Whole.advance, []

    def noted(self, name, pieces):
        bars.append(self)
        moved.append((name, pieces))
        advance(self, name, pieces)

    monkeypatch.setattr(Whole, "advance", noted)
    scdash.tl.fit_perturbode(screen(), model=model, progress=True)
    assert list(dict.fromkeys(name for name, pieces in moved if pieces)) == parts
    assert len(set(map(id, bars))) == 1 and bars[0].bar.n == pytest.approx(bars[0].bar.total)
    shown = re.split(r"[\r\n]", capsys.readouterr().err)
    drawn = [line for line in shown if "%|" in line]
    assert drawn and all(line.strip().startswith("fit") and " left" in line for line in drawn)
