"""The report as one file: it needs nothing else, says the verdict, and shows what was computed."""

import re
from html import unescape
from html.parser import HTMLParser

import pytest

import scdash
from scdash._core.errors import NotFittedError

from .cases import _evaluated, _fitted, _screen_fit

FITS = {"time course": (_fitted, None), "screen": (_screen_fit, None), "paired": (_evaluated, "sbnn")}
VOID = {"meta", "input", "option"}  # an option may stay open


class Strict(HTMLParser):
    """Collects what a page loads, its text, and elements that are closed in another order than opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.loads, self.wrong = [], [], []

    def handle_starttag(self, tag, attrs):
        self.loads += [value for name, value in attrs if name in ("src", "href", "action") and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)


def parsed(text):
    parser = Strict()
    parser.feed(text)
    assert parser.wrong == [] and parser.open == []
    return parser


def visible(text):
    return unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.S)))


@pytest.fixture(params=FITS)
def written(request, tmp_path):
    make, _ = FITS[request.param]
    path = scdash.get.report_html(make(), tmp_path / "new" / "fit.html")
    return request.param, make(), path


def test_the_file_is_small_well_formed_and_loads_nothing(written):
    _, _, path = written
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 2e6
    assert parsed(text).loads == []
    assert "http" not in text and "@import" not in text and "url(" not in text.replace("url(#", "")


def test_the_verdict_comes_first_and_the_sections_follow(written):
    kind, data, path = written
    text = path.read_text(encoding="utf-8")
    report = str(data.uns["sbnn" if kind == "paired" else "dynamics"]["report"])
    first = unescape(re.search(r'<p class="verdict">(.*?)</p>', text, flags=re.S).group(1))
    assert report.startswith(first) and first.endswith(".")
    words = " ".join(visible(text).split())
    assert all(" ".join(line.split()) in words for line in report.splitlines()[1:])
    heads = re.findall(r"<h2>(.*?)</h2>", text)
    middle = {
        "time course": ["Trajectories", "Network", "Knockouts"],
        "screen": ["Perturbations", "Network"],
        "paired": ["Latent space", "Selected genes"],
    }[kind]
    assert heads == ["Result", "Errors", *middle, "Settings", "Versions"]
    assert scdash._core.fit_record.own_version() in visible(text)


def test_the_network_shows_the_strongest_edges(tmp_path):
    adata = _fitted()
    text = scdash.get.report_html(adata, tmp_path / "fit.html", n_edges=7).read_text()
    edges = scdash.get.grn(adata, only_network=True)
    edges = edges[edges["source"] != edges["target"]].head(7)
    names = [unescape(name) for name in re.findall(r'data-name="(.*?)"', text)]
    found = re.findall(
        r'<path class="edge (\w+)( novel)?" data-source="(\d+)" data-target="(\d+)" data-rank="(\d+)"', text
    )
    assert [(names[int(s)], names[int(t)], int(r)) for *_, s, t, r in found] == [
        (row.source, row.target, i) for i, row in enumerate(edges.itertuples(), 1)
    ]
    assert [kind == "activates" for kind, *_ in found] == (edges["weight"] > 0).tolist()
    assert [not novel for _, novel, *_ in found] == edges["in_prior"].tolist()
    assert edges["in_prior"].any() and " novel" not in scdash.get.report_html(_screen_fit(), tmp_path / "s").read_text()


def test_trajectories_are_those_of_the_genes_asked_for(tmp_path):
    adata = _fitted()
    genes = list(adata.var_names[:2])
    text = scdash.get.report_html(adata, tmp_path / "fit.html", genes=genes).read_text()
    assert re.findall(r"<figure><strong>(.*?)</strong>", text) == genes
    text = scdash.get.report_html(adata, tmp_path / "fit.html").read_text()
    assert text.count("<figure>") == 12


def test_what_was_not_computed_is_said(tmp_path):
    adata = _fitted().copy()
    del adata.uns["dynamics_perturbation_scores"]
    text = visible(scdash.get.report_html(adata, tmp_path / "fit.html").read_text())
    assert "Not computed. Run scdash.tl.perturbation_scores" in text


def test_names_cannot_become_html(tmp_path):
    adata = _fitted().copy()
    bad = "<script>alert('x')</script>\"&"
    entry = adata.uns["dynamics"]
    old = str(scdash.get.grn(adata, only_network=True)["source"].iloc[0])
    adata.var_names = [bad if name == old else name for name in adata.var_names]
    entry["genes"] = [bad if str(name) == old else str(name) for name in entry["genes"]]
    for column in ("source", "target"):
        entry["edges"][column] = entry["edges"][column].astype(str).replace(old, bad)
    text = scdash.get.report_html(adata, tmp_path / "fit.html", genes=[bad]).read_text()
    assert "<script>alert" not in text and text.count("<script>") == 1
    parsed(text)


@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (_fitted, {"n_edges": 0}, ValueError, "n_edges must be"),
        (_fitted, {"n_edges": 2000}, ValueError, "n_edges must be"),
        (_fitted, {"genes": ["nobody"]}, KeyError, "nobody"),
        (_fitted, {"key": "other"}, NotFittedError, "fit_dynamics"),
        (_screen_fit, {"genes": ["G001"]}, ValueError, "genes would have no effect"),
        (_evaluated, {"genes": ["gene1"]}, ValueError, "genes would have no effect"),
        (_evaluated, {"n_edges": 5}, ValueError, "n_edges would have no effect"),
    ],
)
def test_bad_input_writes_no_file(make, arguments, error, message, tmp_path):
    with pytest.raises(error, match=message):
        scdash.get.report_html(make(), tmp_path / "fit.html", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_words_of_a_report_cannot_become_html():
    from scdash.get._html import verdict

    text = verdict("Verdict: <b>bold</b> by 0.5. Next <i>.\nMore <u>.")
    assert "<b>" not in text and "<i>" not in text and "<u>" not in text
    assert '<p class="verdict">Verdict: &lt;b&gt;bold&lt;/b&gt; by 0.5.</p>' in text
