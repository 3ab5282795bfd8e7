"""Settings of the sentences around the word."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pseudoword import lookup
from pseudoword.config.fields import OFTEN, Place
from pseudoword.config.other_trainers.aliases import Alias, Synonyms
from pseudoword.config.settings import Idle, Settings
from pseudoword.errors import SettingsError
from pseudoword.text import brief

TEMPLATE_SETS = ("subject", "style", "minimal", "captioned")
"""The sets of sentences that come with the package."""

FILEWORDS = "filewords"
"""What `--template` is where each picture's caption is the whole sentence."""


def template_file(name: str) -> Path | None:
    """The file of sentences that `--template` names; None if it names a set, or captions alone.

    Raises:
        SettingsError: there is no such set or file.
    """
    if name in {*TEMPLATE_SETS, FILEWORDS}:
        return None
    path = lookup.find(name, "--template")
    if isinstance(path, Path):
        return path
    raise SettingsError(
        f"--template {brief(name)} is neither one of {', '.join(TEMPLATE_SETS)} nor {FILEWORDS}, "
        "nor a file of templates"
    )


class CaptionSettings(Settings):
    """The sentences the word is learned in."""

    heading: ClassVar[str] = "Captions"

    idle: ClassVar = {
        "shuffle_tags": Idle(
            "where all tags are left out", lambda s: s.drop_caption == 1 or s.drop_tags == 1
        ),
        "drop_tags": Idle("beside --drop-caption 1", lambda s: s.drop_caption == 1),
        "keep_tags": Idle(
            "without --shuffle-tags or --drop-tags",
            lambda s: not (s.shuffle_tags or s.drop_tags),
        ),
    }

    template: Annotated[
        Place, OFTEN, Alias("learnable_property"), Synonyms({"object": "subject"})
    ] = "subject"
    """Sentences: subject, style, minimal, captioned, filewords, or a file. A file has
    one sentence per line, with [name] in it. With filewords each picture's caption is the whole
    sentence, with [name] or the word in it."""

    caption_lines: Literal["join", "random"] = "join"
    """How a caption of several lines is read: as one sentence, or as one of its lines each time,
    chosen at random."""

    shuffle_tags: Annotated[bool, Alias("shuffle_caption")] = False
    """Shuffle the tags of [filewords] each time. Tags are separated by commas."""

    drop_tags: Annotated[float, Field(ge=0, le=1), Alias("caption_tag_dropout_rate")] = 0.0
    """Probability of leaving out each tag of [filewords]."""

    keep_tags: Annotated[int, Field(ge=0, le=1000), Alias("keep_tokens")] = 0
    """Number of tags at the start that --shuffle-tags and --drop-tags leave alone."""

    drop_caption: Annotated[float, Field(ge=0, le=1), Alias("caption_dropout_rate")] = 0.0
    """Probability of leaving out all of [filewords]. The word itself always stays."""

    words: tuple[Place, ...] = ()
    """Another word that captions, sentences and previews may have in them: a run's folder, an
    embedding file or a hub id; FILE=<new-name> renames it. It stays as it is. May be repeated."""

    def check_there(self) -> None:
        """Also the file of sentences, and other words."""
        super().check_there()
        template_file(self.template)
        for one in self.words:
            lookup.concept_place(lookup.split_token(one, "--words")[0], "--words")
