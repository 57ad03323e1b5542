"""Files that authors published: from a folder, or downloaded by hashes that the caller trusts."""

from collections.abc import Mapping
from pathlib import Path


def published_files(
    name: str, urls: Mapping[str, str], folder: "str | Path | None", sha256: Mapping[str, str] | None
) -> dict[str, Path]:
    """Return the path of every file of the data set `name`; without `folder` they are downloaded by their hashes."""
    return _download(name, urls, sha256) if folder is None else _find(urls, Path(folder))


def _find(urls: Mapping[str, str], folder: Path) -> dict[str, Path]:
    for name, url in urls.items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"folder={str(folder)!r} has no file {name!r}; download it from {url}.")
    return {name: folder / name for name in urls}


def _download(what: str, urls: Mapping[str, str], sha256: Mapping[str, str] | None) -> dict[str, Path]:
    """Fetch the files by their hashes: what a server sends is not read before it is known to be what was meant."""
    by_hand = f"Download {', '.join(urls.values())} into one folder and call {what}(folder=...)."
    if sha256 is None:
        raise FileNotFoundError(
            f"{what} downloads only files whose sha256 is given, and their authors published none. {by_hand}"
        )
    if set(sha256) != set(urls):
        raise ValueError(f"sha256 must hold the hashes of {sorted(urls)}, found {sorted(sha256)}.")
    try:
        import pooch
    except ImportError as error:
        raise ImportError(f"sha256= downloads with pooch: pip install 'scdash[datasets]'. Or: {by_hand}") from error
    cache = pooch.os_cache("scdash") / what
    paths = {}
    for name, url in urls.items():
        try:
            known = f"sha256:{sha256[name]}"
            paths[name] = Path(pooch.retrieve(url, known_hash=known, fname=name, path=cache, progressbar=False))
        except ValueError as error:  # pooch has deleted the file
            raise ValueError(f"{url} is not the file of sha256={sha256[name]!r}: nothing was read.") from error
        except Exception as error:
            raise FileNotFoundError(f"{name} could not be downloaded ({type(error).__name__}). {by_hand}") from error
    return paths
