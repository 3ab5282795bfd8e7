"""Try thousands of wrong command lines.

    python benchmarks/hostile_settings.py --tries 2000 --seed 0

All commands are tried, with all kinds of values, in a folder that has a user's files. Each must
succeed, or end with a sentence and exit code 2, and no file of the user may change. What goes wrong
is printed at once. The last line sums up.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
os.environ.setdefault("OMP_NUM_THREADS", "1")
for quiet in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
    os.environ.setdefault(quiet, "error")
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "COLUMNS": "200"}

import hypothesis  # noqa: E402
import tiny  # noqa: E402
from hostile import Sandbox, Try, tries  # noqa: E402

from benchmarks import shared  # noqa: E402

MOST_MEMORY = 12 << 30
"""In bytes. A command that needs more ends with an error, which is reported."""


def main() -> None:
    """Try the command lines, and print what went wrong."""
    parser = shared.Parser(__doc__)
    parser.add_count("--tries", 2000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    _bound_memory()
    codes: Counter[str] = Counter()
    commands: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    slowest = (0.0, "")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        os.environ["PSEUDOWORD_CACHE"] = f"{home}/cache"
        sandbox = Sandbox(Path(home) / "home", tiny.stable_diffusion(Path(home) / "base"))

        @hypothesis.seed(asked.seed)
        @hypothesis.settings(
            max_examples=asked.tries,
            deadline=None,
            database=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(tries())
        def look(one: Try) -> None:
            nonlocal slowest
            start = time.monotonic()
            found = sandbox.run(one)
            slowest = max(slowest, (time.monotonic() - start, repr(one)))
            codes[f"exit code {found.code}"] += 1
            commands[one.command] += 1
            for reason in found.wrong:
                wrong[reason[:80]] += 1
                print(f"WRONG {reason}\n      {one!r}\n      {found.said[-300:]!r}", flush=True)
            done = codes.total()
            if done % 50 == 0:
                seconds = time.monotonic() - began
                print(f"{done}/{asked.tries} tries, {seconds:.0f} s, {dict(codes)}", flush=True)

        look()
    print(f"slowest: {slowest[0]:.0f} s, {slowest[1]}")
    print(f"commands: {dict(commands.most_common())}")
    print(
        f"{codes.total()} tries in {time.monotonic() - began:.0f} s: {dict(codes)}; "
        f"{wrong.total()} went wrong{': ' + str(dict(wrong.most_common(20))) if wrong else ''}"
    )
    sys.exit(bool(wrong))


def _bound_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    except (ImportError, ValueError, OSError):  # not on every system
        pass


if __name__ == "__main__":
    main()
