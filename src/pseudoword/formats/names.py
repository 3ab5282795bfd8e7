"""What a concept must be called in each tool so that all its rows are used."""

import re
import unicodedata
from collections.abc import Container

_ASCII_KINDS = (re.compile(r"[A-Za-z]"), re.compile(r"[0-9]"), re.compile(r"[!-/:-@\[-`{-~]"))
_SPECIAL = re.compile(r"</?\w+>|<\|\w+\|>|<extra_id_\d+>")
_SPECIAL_NAMES = {"s", "pad", "unk", "bos", "eos", "mask", "cls", "sep"}


def for_diffusers(
    token: str, vectors: int, stem: str, vocabulary: Container[str] = frozenset()
) -> tuple[str, str | None]:
    """A name under which diffusers uses every row, and the reason if it differs from the token.

    Args:
        token: the concept's token.
        vectors: number of rows.
        stem: used for the name if the token has no plain letters.
        vocabulary: the tokens of the base model, if known.
    """
    if vectors > 1 and token != _normal(token):
        why = "capitals" if token.lower() != token else "letters that the tokenizer changes"
        reason = f"Under {token} only the first of {vectors} rows would be used: it has {why}"
    elif token in vocabulary:
        reason = f"Under {token} it is refused: the model's vocabulary has that token"
    elif may_be_in_vocabulary(token):
        reason = f"Under {token} it is refused by models whose vocabulary has that token"
    else:
        return token, None
    return _bracketed(token, stem), reason


def diffusers_warning(token: str, vectors: int, vocabulary: Container[str]) -> str | None:
    """A warning before training if diffusers does not accept the token as it is."""
    name, reason = for_diffusers(token, vectors, "", vocabulary)
    return reason and f"for diffusers, give it another name: token={name!r}. {reason}"


def may_be_in_vocabulary(token: str) -> bool:
    """Whether a CLIP vocabulary may have `token`.

    Its entries are letters only, signs only, or one digit; `<cat>` and `cat2` mix these, so they
    cannot be entries.
    """
    kinds = sum(bool(kind.search(token)) for kind in _ASCII_KINDS)
    digits = len(re.findall(r"[0-9]", token)) > 1
    if token.endswith("</w>") or token.startswith("'") or _SPECIAL.fullmatch(token) is not None:
        return token.strip("</>") in _SPECIAL_NAMES or not re.fullmatch(r"<\w+>", token)
    return " " not in token and not digits and kinds < 2


def _normal(token: str) -> str:
    """`token` as CLIP's tokenizer normalises text before it looks for added tokens."""
    return " ".join(unicodedata.normalize("NFC", token).lower().split())


def _bracketed(token: str, stem: str) -> str:
    """A name in `<…>` that no vocabulary has and no tokenizer changes."""
    for text in (token, stem, "word"):
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
        name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
        if name:
            break
    return f"<my-{name}>" if name in _SPECIAL_NAMES else f"<{name}>"


def for_automatic1111(name: str) -> str | None:
    """`name` as written in a prompt, with brackets escaped; None if a prompt cannot hold it."""
    if re.search(r"\b(AND|BREAK)\b|<\w+:[^>]+>", name) or not name.strip():
        return None
    return re.sub(r"([\\()\[\]])", r"\\\1", name)


def for_comfyui(name: str) -> str | None:
    """`name` as written after `embedding:`, brackets escaped; None if a prompt cannot hold it."""
    if re.search(r"\s", name) or name != name.strip(","):
        return None
    return re.sub(r"([()])", r"\\\1", name)


def for_invokeai(name: str) -> str | None:
    """`name` as a trigger `<name>`; None if InvokeAI finds no such trigger."""
    return f"<{name}>" if re.fullmatch(r"[a-zA-Z0-9., _-]+", name) else None
