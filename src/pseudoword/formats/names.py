"""What a word must be called in each tool, so that all of it reaches the prompt."""

import re
import unicodedata
from collections.abc import Container

_ASCII_KINDS = (re.compile(r"[A-Za-z]"), re.compile(r"[0-9]"), re.compile(r"[!-/:-@\[-`{-~]"))
_SPECIAL = re.compile(r"</?\w+>|<\|\w+\|>|<extra_id_\d+>")
_SPECIAL_NAMES = {"s", "pad", "unk", "bos", "eos", "mask", "cls", "sep"}


def for_diffusers(
    token: str, vectors: int, stem: str, vocabulary: Container[str] = frozenset()
) -> tuple[str, str | None]:
    """A name under which diffusers uses every row of a word, and why it is not the word's own.

    Args:
        token: the word's own.
        vectors: how many rows it has.
        stem: another name to fall back on.
        vocabulary: the tokens of the base model, if one is given.
    """
    if vectors > 1 and token != _normal(token):
        why = "capitals" if token.lower() != token else "letters that its tokenizer changes"
        reason = f"Under {token} only the first of its {vectors} rows would count: it has {why}"
    elif token in vocabulary:
        reason = f"Under {token} it is refused: the model's vocabulary has that word"
    elif may_be_in_vocabulary(token):
        reason = f"Under {token} it is refused by models whose vocabulary has that word"
    else:
        return token, None
    return _bracketed(token, stem), reason


def diffusers_warning(token: str, vectors: int, vocabulary: Container[str]) -> str | None:
    """What to know before a word is learned under a name that diffusers does not take as it is."""
    name, reason = for_diffusers(token, vectors, "", vocabulary)
    return reason and f"for diffusers, give it another name: token={name!r}. {reason}"


def may_be_in_vocabulary(token: str) -> bool:
    """Whether a CLIP vocabulary may have `token`.

    Its entries are of letters, or of signs, or one digit: a name of both, such as `<cat>` or
    `cat2`, is none of them.
    """
    kinds = sum(bool(kind.search(token)) for kind in _ASCII_KINDS)
    digits = len(re.findall(r"[0-9]", token)) > 1
    if token.endswith("</w>") or token.startswith("'") or _SPECIAL.fullmatch(token) is not None:
        return token.strip("</>") in _SPECIAL_NAMES or not re.fullmatch(r"<\w+>", token)
    return " " not in token and not digits and kinds < 2


def _normal(token: str) -> str:
    """`token` as CLIP's tokenizer makes it before it looks for names in it."""
    return " ".join(unicodedata.normalize("NFC", token).lower().split())


def _bracketed(token: str, stem: str) -> str:
    """A name that no vocabulary has and no tokenizer changes."""
    for text in (token, stem, "word"):
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
        name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
        if name:
            break
    return f"<my-{name}>" if name in _SPECIAL_NAMES else f"<{name}>"


def for_automatic1111(name: str) -> str | None:
    """`name` as it is written in a prompt, brackets escaped; None if no prompt can hold it."""
    if re.search(r"\b(AND|BREAK)\b|<\w+:[^>]+>", name) or not name.strip():
        return None
    return re.sub(r"([\\()\[\]])", r"\\\1", name)


def for_comfyui(name: str) -> str | None:
    """`name` behind `embedding:`, its brackets escaped; None if a prompt may not hold it."""
    if re.search(r"\s", name) or name != name.strip(","):
        return None
    return re.sub(r"([()])", r"\\\1", name)


def for_invokeai(name: str) -> str | None:
    """`name` as a trigger; None if no trigger can be so called."""
    return f"<{name}>" if re.fullmatch(r"[a-zA-Z0-9., _-]+", name) else None
