"""Our own file, which is also everybody's: safetensors, float32, provenance in the metadata.

One text encoder: a single tensor `[n, width]` under the token's name, as diffusers writes it and
AUTOMATIC1111 and ComfyUI read it. Several: one tensor per encoder under ComfyUI's keys.
"""

import json
from pathlib import Path

import safetensors
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from pseudoword.concept import ENCODER_OF_WIDTH, Concept
from pseudoword.errors import ConceptError

_PREFIX = "pseudoword."
_KEYS = {"clip_l", "clip_h", "clip_g", "t5xxl"}
_ANONYMOUS = {"emb_params"}


def dump(concept: Concept) -> bytes:
    """The bytes of the file; the same concept always gives the same bytes."""
    vectors = {k: v.detach().cpu().float().contiguous() for k, v in concept.vectors.items()}
    metadata = {f"{_PREFIX}{k}": v for k, v in concept.provenance.items()}
    metadata |= {"format": "pt", f"{_PREFIX}token": concept.token}
    metadata |= {f"{_PREFIX}method": concept.method, f"{_PREFIX}encoders": ",".join(vectors)}
    if concept.family:
        metadata[f"{_PREFIX}family"] = concept.family
    if len(vectors) == 1:
        vectors = {concept.token: next(iter(vectors.values()))}
    return _canonical(save_tensors(vectors, metadata))


def read(data: bytes, where: str, token: str | None = None) -> Concept:
    """Read a safetensors concept; ours, or anyone's with one tensor or with encoder keys.

    Raises:
        ConceptError: `data` is no safetensors file, or holds something else than a concept.
    """
    try:
        tensors = load_tensors(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ConceptError(
            f"{where} is not a safetensors file ({error}). "
            "Only safetensors concepts can be read so far."
        ) from error
    metadata = _header(data)[0].get("__metadata__", {})
    ours = {k.removeprefix(_PREFIX): v for k, v in metadata.items() if k.startswith(_PREFIX)}
    encoders = ours.pop("encoders", "").split(",")
    name = ours.pop("token", None)
    family, method = ours.pop("family", None), ours.pop("method", "classic")
    if not tensors or not all(t.is_floating_point() and t.ndim in (1, 2) for t in tensors.values()):
        raise ConceptError(f"{where} holds no embedding: {_summary(tensors)}")
    if set(tensors) <= _KEYS:
        vectors = tensors
    elif len(tensors) == 1:
        ((key, rows),) = tensors.items()
        if name is None and key not in _ANONYMOUS:
            name = key
        encoder = encoders[0] or ENCODER_OF_WIDTH.get(rows.shape[-1], "clip_l")
        vectors = {encoder: rows}
    else:
        raise ConceptError(f"{where} is not one concept: {_summary(tensors)}")
    return Concept(
        token=token or name or f"<{Path(where).stem}>",
        vectors={key: rows.view(-1, rows.shape[-1]).float() for key, rows in vectors.items()},
        family=family,
        method=method,
        provenance=ours,
    )


def _header(data: bytes) -> tuple[dict[str, dict[str, str]], bytes]:
    """A safetensors file's JSON header, and the tensors' bytes."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def _canonical(data: bytes) -> bytes:
    """The same file with its header sorted: the library writes metadata in a random order."""
    header, tensors = _header(data)
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + tensors


def _summary(tensors: dict[str, Tensor]) -> str:
    shown = [f"{key} {list(t.shape)}" for key, t in list(tensors.items())[:3]]
    more = f" and {len(tensors) - 3} more" if len(tensors) > 3 else ""
    return f"it has {len(tensors)} tensors ({', '.join(shown)}{more})"
