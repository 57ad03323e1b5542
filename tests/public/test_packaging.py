"""Files for other registries say what pyproject.toml says."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ON_CONDA = {"matplotlib": "matplotlib-base", "torch": "pytorch"}


def test_the_conda_recipe_asks_for_the_same_packages() -> None:
    recipe = (ROOT / "packaging" / "conda" / "meta.yaml").read_text()
    asked = re.search(r"\n  run:\n(.*?)\n\n", recipe, flags=re.S)
    assert asked is not None
    listed = {line.strip(" -") for line in asked[1].splitlines()}
    wanted = {"python " + PROJECT["requires-python"]}
    for dependency in PROJECT["dependencies"]:
        name, version = dependency.split(">=")
        wanted.add(f"{ON_CONDA.get(name, name)} >={version}")
    assert listed == wanted
    assert f'version = "{PROJECT["version"]}"' in recipe and PROJECT["description"] in recipe


def test_the_entry_of_the_scverse_list_and_the_citation_have_the_version_and_what_their_schemas_ask_for() -> None:
    entry = yaml.safe_load((ROOT / "packaging" / "scverse" / "meta.yaml").read_text())
    needed = {
        "name",
        "description",
        "project_home",
        "documentation_home",
        "install",
        "license",
        "tags",
        "version",
        "authors",
    }
    assert needed <= set(entry)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    for table in (entry, citation):
        assert (table["version"], table["license"]) == (PROJECT["version"], PROJECT["license"])
    bibtex = re.search(
        r"@software\{scdash,.*?version = \{(.*?)\}", (ROOT / "docs" / "citing.md").read_text(), flags=re.S
    )
    assert bibtex is not None and bibtex[1] == PROJECT["version"]
