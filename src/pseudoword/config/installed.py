"""What other packages have, read from their source: to import them takes seconds."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def names_in(package: str, *path: str) -> frozenset[str]:
    """All names in a source file of a package; none if it is not there.

    Args:
        package: the top one.
        path: of the file, in the folder of the package.

    Raises:
        ImportError, ValueError: what `find_spec` raises for what is no name of a package.
    """
    spec = find_spec(package)
    file = Path((spec and spec.origin) or "").parent.joinpath(*path)
    return frozenset(re.findall(r"\w+", file.read_text("utf-8")) if file.is_file() else ())
