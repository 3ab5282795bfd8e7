"""Read damaged, dishonest and foreign files with every reader, and count what happens.

    python benchmarks/mutations.py                 5,000 files, of all readers together
    python benchmarks/mutations.py 500 --seed 7 --only Bases --only Loras

Each kind is read in its own process, which may crash. Files that did harm are kept in the folder
`--keep`. The same count and seed make the same files. The exit code is 1 if any file did harm.
"""

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import mutations
from mutation_readers import SHARES

from benchmarks import shared
from pseudoword.benchmark.results import markdown_table

HEADS = {
    "reader": "reader",
    "files": "files",
    "accepted": "accepted",
    "refused": "refused with a sentence",
    "crashed": "crashes",
    "hung": "hangs",
    "gigabytes": "gigabytes",
    "executed": "executed",
    "learned": "learned from damage",
    "slowest_seconds": "slowest s",
    "most_mb": "most MB",
}


def table(all_came: Sequence[mutations.Came]) -> str:
    """Markdown: a row for each reader, and their sum."""
    rows = [came.numbers for came in all_came]
    total = {name: sum(row[name] for row in rows) for name in rows[0] if name != "reader"}
    for name in ("slowest_seconds", "most_mb"):
        total[name] = max(row[name] for row in rows)
    shown = (HEADS, *rows, {"reader": "**all**", **total})
    return markdown_table([[row[name] for name in HEADS] for row in shown], "---")


def main() -> int:
    """Read the files, and print the table."""
    by_name = {one.__name__: one for one in SHARES}
    parser = shared.Parser(__doc__)
    parser.add_argument("count", nargs="?", type=int, default=5000, help="files in all")
    parser.add_argument("--seed", type=int, default=0, help="which files")
    only = "only this reader; may be repeated"
    parser.add_argument("--only", action="append", choices=by_name, metavar="NAME", help=only)
    parser.add_count("--jobs", 1, "readers at a time")
    parser.add_argument("--keep", type=Path, help="folder for files that did harm")
    given = parser.parse_args()
    readers = {by_name[name]: SHARES[by_name[name]] for name in given.only or by_name}
    whole = sum(readers.values())
    counts = {one: max(1, round(given.count * share / whole)) for one, share in readers.items()}
    began = time.monotonic()

    def run(reader: type[mutations.Reader]) -> mutations.Came:
        count = counts[reader]

        def told(done: int) -> None:
            if done % max(1, count // 10) == 0 or done == count:
                seconds = time.monotonic() - began
                print(f"{reader.__name__}: {done}/{count} ({seconds:.0f} s)", file=sys.stderr)

        return mutations.run(reader, count, given.seed, kept=given.keep, told=told)

    with ThreadPoolExecutor(given.jobs) as threads:
        all_came = list(threads.map(run, counts))
    for came in all_came:
        for fault in came.faults:
            print(f"{came.reader} {fault}", file=sys.stderr)
    print(table(all_came))
    print(json.dumps({"seed": given.seed, "seconds": round(time.monotonic() - began)}))
    return 0 if all(came.clean for came in all_came) else 1


if __name__ == "__main__":
    sys.exit(main())
