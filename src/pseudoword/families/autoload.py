"""Models of any kind that transformers knows, without the code that some bring along."""

from pathlib import Path
from typing import Any

from pseudoword.errors import BaseModelError
from pseudoword.families.base import without_bars


def autoload(kind: Any, source: str | Path, **options: Any) -> Any:
    """What transformers' auto class `kind` makes of `source`, a folder or a hub id.

    Nobody is asked whether code that comes with a model may run: it may not.

    Raises:
        BaseModelError: it needs such code. Of other errors transformers and the hub have their own.
    """
    try:
        with without_bars():
            return kind.from_pretrained(source, trust_remote_code=False, **options)
    except ValueError as error:
        if "custom code" not in str(error):
            raise
        raise BaseModelError("it needs code that comes with it, which is never run") from error
