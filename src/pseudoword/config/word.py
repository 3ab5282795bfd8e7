"""Settings of the new word itself."""

import re
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from pseudoword import lookup
from pseudoword.config.fields import A_PATH, AUTO, OFTEN, Auto, at_home
from pseudoword.config.other_trainers.aliases import Alias
from pseudoword.config.settings import Idle, Settings
from pseudoword.errors import ConceptError, SettingsError
from pseudoword.placeholders import check_token
from pseudoword.text import brief, command

LONGEST_TOKEN = 200
"""Characters; other tools make a file's name of it."""

InitMode = Literal["auto", "rows", "mean", "nearest", "cross", "random", "file"]


class NewWord(NamedTuple):
    """One of the words that a run learns."""

    token: str
    init: str
    """words it starts from, or a concept file"""
    init_mode: InitMode
    flag: str = "--init"
    """where the user gave `init`"""

    def names_concept(self) -> bool:
        """Whether `init` names a concept to continue from; if not, it is words, or not used.

        With `auto`, a concept must be given as a path, as a hub id, or as `FILE=TOKEN` for one word
        of several. A plain word is a word, even if there is a file of that name.

        Raises:
            ConceptError: `init` looks like a path or a hub id, but is not there.
            SettingsError: `init` looks like a path or a hub id, but `init_mode` takes words.
        """
        _, init, mode, flag = self
        if mode == "random":
            return False
        if not init.strip():
            given = lookup.argument_text(flag, repr(init))
            raise SettingsError(f"{given} has no tokens. Give a word such as cat or toy.")
        if mode == "file":
            lookup.concept_place(lookup.split_token(init, flag)[0], flag)
            return True
        source, _ = lookup.split_token(init, flag) if lookup.looks_like_path(init) else (init, None)
        if lookup.find(source, flag, words=True, error=ConceptError) is None:
            return False
        if mode != "auto":
            raise SettingsError(
                f"--init-mode {mode} takes words, and {lookup.argument_text(flag, init)} is a "
                "file's or folder's name. Leave --init-mode out, or give words."
            )
        return True


class WordSettings(Settings):
    """What the new word is called, and where it begins."""

    heading: ClassVar[str] = "Word"

    idle: ClassVar = {
        "init": Idle("beside --init-mode random", lambda s: s.init_mode == "random"),
        "init_mode": Idle(
            "on the words of --also, which start from all that is behind the =",
            lambda s: s.init_mode == "nearest" and bool(s.also),
        ),
        "also": Idle(
            "beside --init-mode random, but for the name of the word",
            lambda s: s.init_mode == "random" and any(_parts(one)[2] for one in s.also),
        ),
    }

    token: Annotated[str, OFTEN, Alias("placeholder_token", "token_string", "token_abstraction")]
    """The new word as it is written in prompts, such as "<cat>"."""

    init: Annotated[
        str,
        A_PATH,
        AfterValidator(at_home),
        OFTEN,
        Alias("initializer_token", "initializer_concept", "init_word", "weights"),
    ] = "object"
    """Start from this word or these words, or continue from a concept file."""

    init_mode: InitMode = "auto"
    """How --init is used: one vector per token (rows); their mean; the one of several words,
    separated by commas, that fits the pictures best (nearest); what the text encoder makes of them
    (cross); random vectors; or a file. auto chooses by what --init is."""

    vectors: Annotated[
        Annotated[int, Field(ge=1, le=75)] | Auto,
        OFTEN,
        Alias(
            "num_vectors",
            "num_vectors_per_token",
            "num_vec_per_token",
            "num_new_tokens_per_abstraction",
        ),
    ] = AUTO
    """How many vectors the word has. auto chooses by the number of pictures, and of tokens in
    --init."""

    also: tuple[str, ...] = ()
    """A further new word that is learned together with --token from the same pictures, as "<toy>"
    or, with the words it starts from or the concept file it continues from, "<toy>=plush toy".
    Captions say which of them is in a picture. May be repeated."""

    output_embedding: Annotated[bool, Alias("is_output_embedding")] = False
    """Put the vectors in after the text encoder, in the place of its states. No gradient passes
    through the encoder then, which saves time and memory where it is large. Other than pseudoword,
    only OneTrainer uses such words."""

    @field_validator("token")
    @classmethod
    def _token(cls, token: str) -> str:
        return _checked_token(token, "--token")

    @field_validator("also")
    @classmethod
    def _also(cls, also: tuple[str, ...]) -> tuple[str, ...]:
        checked = []
        for one in also:
            token, equals, init = _parts(one)
            init = at_home(init.strip())
            if equals and not init:
                raise SettingsError(
                    f"--also {brief(one)}: after the = come the words that it starts from, as in "
                    f'--also "{brief(token)}=plush toy", or a concept file to continue from.'
                )
            checked.append(_checked_token(token, "--also") + equals + init)
        return tuple(checked)

    @model_validator(mode="after")
    def _words_that_differ(self) -> Self:
        tokens = [word.token.casefold() for word in self.new_words]
        for number, word in enumerate(self.new_words):
            if word.token.casefold() in tokens[:number]:
                raise SettingsError(
                    f"--also {brief(word.token)} is called like another new word. Call it "
                    "otherwise."
                )
        return self

    @property
    def tokens(self) -> list[str]:
        """The tokens of `new_words`."""
        return [word.token for word in self.new_words]

    @property
    def called(self) -> str:
        """The words, as messages name them."""
        return " with ".join(self.tokens)

    @property
    def new_words(self) -> list[NewWord]:
        """All that the run learns, that of `token` first."""
        words = [NewWord(self.token, self.init, self.init_mode)]
        mode: InitMode = "auto" if self.init_mode in ("file", "nearest") else self.init_mode
        for one in self.also:
            token, _, init = _parts(one)
            words.append(NewWord(token, init or "object", mode, f"--also {token}="))
        return words

    def also_from(self, place: Callable[[str], str]) -> list[str]:
        """`also`, where `place` gives what each starts from, of what was given."""
        parts = map(_parts, self.also)
        return [token + (equals and equals + place(init)) for token, equals, init in parts]

    def check_there(self) -> None:
        """Also the concepts to continue from."""
        super().check_there()
        for word in self.new_words:
            word.names_concept()


def _parts(also: str) -> tuple[str, str, str]:
    """The name of a further word, the `=` behind it if there is one, and what comes then.

    A name in `<…>` may have a `=` in it.
    """
    bracketed = re.match(r"<[^<>]*>", also)
    end = also.find("=", bracketed.end() if bracketed else 0)
    return (also, "", "") if end < 0 else (also[:end], "=", also[end + 1 :])


def _checked_token(token: str, flag: str) -> str:
    """Return `token` as it is compared, if it can be a word of a run."""
    if len(token) > LONGEST_TOKEN:
        raise SettingsError(
            f"{flag} {brief(token)} has {len(token)} characters. Give the word a name of at most "
            f"{LONGEST_TOKEN}."
        )
    parts = re.split(r",(?![^<>]*>)", token)
    if len(parts) > 1:  # diffusers' scripts take several words so
        words = list(filter(None, map(str.strip, parts))) or ["<cat>"]
        instead = command(flag, words[0], *(t for word in words[1:] for t in ("--also", word)))
        raise SettingsError(
            f"{flag} {brief(token)} is one word, and has a comma in it. To learn several words "
            f"from the same pictures, give each by itself: {brief(instead, 300)}"
        )
    for ours in ("[name]", "[filewords]"):
        if ours in token:
            raise SettingsError(
                f"{flag} {token!r}: {ours} has a meaning in templates. Leave it out."
            )
    return check_token(token, flag)
