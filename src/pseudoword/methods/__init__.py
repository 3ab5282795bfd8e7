"""Methods: how rows come to be. Add one by adding a file here and its class to `METHODS`.

A method never knows a model: what it may know of one is in `Initialisation`.
"""

from collections.abc import Mapping

from pseudoword.config.method import MethodSettings
from pseudoword.methods.base import Initialisation as Initialisation
from pseudoword.methods.base import Method as Method
from pseudoword.methods.base import Rows as Rows
from pseudoword.methods.classic import Classic
from pseudoword.methods.directional import Directional
from pseudoword.methods.layered import Layered

METHODS: Mapping[str, type[Method]] = {kind.name: kind for kind in (Classic, Directional, Layered)}
"""What `--method` takes -> what it means."""


def begin(start: Initialisation, settings: MethodSettings) -> Method:
    """The method that `settings` ask for, at `start`.

    Raises:
        ConceptError: it cannot go on from such rows.
    """
    return METHODS[settings.method](start, settings)
