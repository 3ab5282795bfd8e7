"""Load models with transformers' auto classes, and never run code that comes with a model."""

from pathlib import Path
from typing import Any

from pseudoword import hub
from pseudoword.errors import BaseModelError
from pseudoword.models.loading import folder
from pseudoword.models.loading.loaders import using_loaders
from pseudoword.models.loading.weights import copy_mapped, find_not_finite, limit_weights

POOLER = "pooler"
"""transformers' name of a last layer that a model, or a part of it, may have or not."""


def autoload(kind: Any, source: str | Path, **options: Any) -> Any:
    """Load `source`, a folder or a hub id, with transformers' auto class `kind`.

    A folder passes the same checks as a base model's.

    Raises:
        BaseModelError: the model needs its own code, or its files are damaged.
        Exception: other errors of transformers and the hub.
    """
    if Path(source).is_dir():
        folder.check(Path(source))
    else:
        hub.check_reachable(str(source))
    try:
        with using_loaders():
            return kind.from_pretrained(source, trust_remote_code=False, **options)
    except ValueError as error:
        if "custom code" not in str(error):
            raise
        raise BaseModelError("it needs code that comes with it, which is never run") from error


def automodel(kind: Any, source: str | Path, **options: Any) -> Any:
    """Load a model with weights, as `autoload` does, for inference only.

    A pooler is left out where the files have none.

    Raises:
        BaseModelError: as `autoload`; or weights are missing, or not finite.
    """
    options["output_loading_info"] = True
    if not Path(source).is_dir():
        model, info = autoload(kind, source, **options)
    else:
        paths, headers = folder.read_headers(Path(source), None)
        options["use_safetensors"] = paths[0].suffix == folder.WEIGHTS[0]
        with limit_weights(*folder.size_of(headers)):
            model, info = autoload(kind, source, **options)
    missing = [name for name in sorted(info["missing_keys"]) if f".{POOLER}." not in f".{name}"]
    if missing:  # transformers would go on with random ones
        raise BaseModelError(f"{len(missing)} of its weights are missing, such as {missing[0]}")
    for name in info["missing_keys"]:
        setattr(model.get_submodule(f".{name}".partition(f".{POOLER}.")[0][1:]), POOLER, None)
    damaged = find_not_finite(model)
    if damaged:
        raise BaseModelError(f"it has numbers that are not finite, in {damaged}")
    copy_mapped(model)
    return model.eval()
