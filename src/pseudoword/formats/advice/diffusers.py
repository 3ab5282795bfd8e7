"""What diffusers' `load_textual_inversion` does with a file, and the name that it needs."""

from collections.abc import Collection, Mapping

from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.formats import keys, names
from pseudoword.formats.advice.shared import convert_hint, encoders_of, is_dict, unusable
from pseudoword.formats.embedding_file import EmbeddingFile
from pseudoword.formats.grouping import embedding_tensors


def advise(file: EmbeddingFile, concept: Concept, vocabulary: Collection[str]) -> str:
    """What happens to `concept` in the file."""
    hint = convert_hint(concept, "diffusers", "native")
    if file.is_picture:
        return f"reads no pictures{hint}"
    obstacle = unusable(file, concept)
    if obstacle:
        return obstacle
    encoders = keys.diffusers_suffixes(concept.vectors, concept.family)
    if encoders is None:
        return "has no loader for words of these text encoders"
    name, reason = names.for_diffusers(concept.token, concept.length, file.path.stem, vocabulary)
    if "ParameterDict" in file.raw.quirks:
        return f'cannot read a ParameterDict; convert it first, with --token "{name}"'
    if file.container == "torch" and file.path.suffix == ".safetensors":
        return "goes by the file's ending: change it to .pt"
    calls = _calls(file, encoders, name)
    if not calls:
        return f"cannot read a file with this layout{hint}"
    advice = f"{' and '.join(calls)}, then write {name}"
    if len(calls) > 1 and file.second is None:
        advice += "; or convert with --format diffusers, and load a file each"
    return f"{advice}. {reason}" if reason else advice


def from_hub(concept: Concept, repository: str) -> str | None:
    """Code that loads a concept from a repository on the hub; None if diffusers cannot load it."""
    encoders = keys.diffusers_suffixes(concept.vectors, concept.family)
    if encoders is None:
        return None
    name, _ = names.for_diffusers(concept.token, concept.length, repository.rpartition("/")[2])
    lines = []
    for suffix in encoders.values():
        options = []
        if len(encoders) > 1:
            options.append(f'weight_name="learned_embeds{suffix}.safetensors"')
        if len(encoders) > 1 or suffix:
            options += [f"{part}=pipeline.{part}{suffix}" for part in ("text_encoder", "tokenizer")]
        if name != concept.token:
            options.append(f"token={name!r}")
        arguments = ", ".join([f'"{repository}"', *options])
        lines.append(f"pipeline.load_textual_inversion({arguments})")
    return "\n".join(lines if name == concept.token else [*lines, f"# then write {name}"])


def _calls(file: EmbeddingFile, encoders: Mapping[str, str], name: str) -> list[str]:
    """The calls that load a concept into a pipeline; none if diffusers cannot read the file."""

    def call(what: str, own: object, suffix: str) -> str:
        token = "" if own == name else f", token={name!r}"
        parts = f", text_encoder=pipe.text_encoder{suffix}, tokenizer=pipe.tokenizer{suffix}"
        plain = not suffix and len(encoders) == 1
        return f"load_textual_inversion({what}{token}{'' if plain else parts})"

    own = _name_in(file)
    if own is not None:
        files = ["file", "file_2"] if file.second else ["file"]
        if len(files) != len(encoders):
            return []
        return [call(f, own[0], s) for f, s in zip(files, encoders.values(), strict=True)]
    if not is_dict(file) or file.layout in ("nested", "bundle") or len(file.concepts) > 1:
        return []
    opened = "load_file(file)" if file.container == "safetensors" else "torch.load(file)"
    by_key = encoders_of(embedding_tensors(file.raw))
    keyed = {encoder: key for key, encoder in by_key.items()}
    keyed |= {e: e for e in encoders if by_key.get(e) == e}  # there may be layers of it, too
    if not encoders.keys() <= keyed.keys():
        return []
    return [call(f"{opened}[{keyed[e]!r}]", None, suffix) for e, suffix in encoders.items()]


def _name_in(file: EmbeddingFile) -> tuple[object] | None:
    """The name that diffusers finds in a file, as a tuple; None if it cannot read the file."""
    items = file.raw.items
    if file.raw.form == "tensor":
        return (None,)
    if not is_dict(file):
        return None
    if len(items) == 1:
        ((key, only),) = items.items()
        return (key,) if isinstance(only, Tensor) else None
    holder = items.get("string_to_param")
    has_tensor = isinstance(holder, Mapping) and isinstance(holder.get("*"), Tensor)
    return (items["name"],) if has_tensor and "name" in items else None
