"""Print the score of `mutmut run`, and fail below 95 % or where a survivor is not listed: `python tests/mutation_score.py`.

A survivor is listed in `tests/mutation_survivors.toml` by the function and the changed line, with the reason why no test
can or need tell it from the code. Listed survivors count as survivors: the list explains them, it does not hide them.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

SURVIVORS = Path(__file__).parent / "mutation_survivors.toml"
MUTMUT = Path(sys.executable).with_name("mutmut")
ENOUGH = 0.95
# "no tests" is a survivor, too: the line is in no test's way
ALIVE, DEAD = {"survived", "no tests", "suspicious"}, {"killed", "timeout", "segfault", "caught by type check"}


def results() -> dict[str, str]:
    """Return the state of every mutant."""
    text = subprocess.run([MUTMUT, "results", "--all", "true"], capture_output=True, text=True, check=True).stdout
    pairs = (line.strip().rsplit(": ", 1) for line in text.splitlines() if ": " in line)
    return {name: state for name, state in pairs if state != "not checked"}


def changed_line(mutant: str) -> str:
    """Return the line that the mutant puts in place of another."""
    text = subprocess.run([MUTMUT, "show", mutant], capture_output=True, text=True, check=True).stdout
    added = [line[1:].strip() for line in text.splitlines() if line.startswith("+") and not line.startswith("+++")]
    return " ".join(added)


def function_of(mutant: str) -> str:
    """Return module and function of a mutant, as "scdash._data.split.default_split"."""
    module, name = mutant.rsplit(".", 1)
    return f"{module}.{name.split('__mutmut_')[0].removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}"


def main() -> int:
    """Compare, print, and return the exit status."""
    states = results()
    alive = [name for name, state in states.items() if state in ALIVE]
    dead = sum(state in DEAD for state in states.values())
    if not dead:
        print("There are no results; run `make mutation`.")
        return 1
    listed = {(one["function"], one["line"]) for one in tomllib.loads(SURVIVORS.read_text()).get("survivor", [])}
    found = {name: (function_of(name), changed_line(name)) for name in alive}
    unknown = {name: what for name, what in found.items() if what not in listed}
    for name, (function, line) in unknown.items():
        print(f"not listed: {name}\n    {function}\n    {line}")
    for function, line in sorted(listed - set(found.values())):
        print(f"listed and killed now (take it out of {SURVIVORS.name}): {function}\n    {line}")
    score = dead / (dead + len(alive))
    print(f"{dead} of {dead + len(alive)} mutants were killed ({score:.1%}; {ENOUGH:.0%} are asked for).")
    print(f"{len(alive)} survived; {len(unknown)} of them are not listed in {SURVIVORS.name}.")
    return int(score < ENOUGH or bool(unknown))


if __name__ == "__main__":
    raise SystemExit(main())
