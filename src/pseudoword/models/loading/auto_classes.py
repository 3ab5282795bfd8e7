"""Models of any kind that transformers knows, without the code that some bring along."""

from pathlib import Path
from typing import Any

from pseudoword.errors import BaseModelError
from pseudoword.models.loading import folder
from pseudoword.models.loading.progress_bars import without_bars
from pseudoword.models.loading.weights import copy_mapped, find_not_finite, limit_weights


def autoload(kind: Any, source: str | Path, **options: Any) -> Any:
    """What transformers' auto class `kind` makes of `source`, a folder or a hub id.

    Nobody is asked whether code that comes with a model may run: it may not. A folder is looked at
    as a base model's is.

    Raises:
        BaseModelError: it needs such code, or its files are damaged. Of other errors transformers
            and the hub have their own.
    """
    if Path(source).is_dir():
        folder.check(Path(source))
    try:
        with without_bars():
            return kind.from_pretrained(source, trust_remote_code=False, **options)
    except ValueError as error:
        if "custom code" not in str(error):
            raise
        raise BaseModelError("it needs code that comes with it, which is never run") from error


def automodel(kind: Any, source: str | Path, **options: Any) -> Any:
    """As `autoload`, for a model: with weights, which are used and not trained."""
    if not Path(source).is_dir():
        model = autoload(kind, source, **options)
    else:
        found = folder.read_headers(Path(source), None)
        options["use_safetensors"] = found[0][0].suffix == folder.WEIGHTS[0]
        tensors = sum(len(one.shapes) for _, one in found)
        with limit_weights(tensors, sum(one.numel for _, one in found)):
            model = autoload(kind, source, **options)
    broken = find_not_finite(model)
    if broken:
        raise BaseModelError(f"it has numbers that are not finite, in {broken}")
    copy_mapped(model)
    return model.eval()
