"""A job: the pictures of a word, its settings, and the files that these name."""

import hashlib
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from pseudoword import lookup
from pseudoword.config import TrainConfig, flag
from pseudoword.config.captions import template_file
from pseudoword.config.fields import check_text
from pseudoword.config.word import NewWord
from pseudoword.data import picture_files
from pseudoword.data.caption_lists import listed_caption
from pseudoword.errors import ConceptError, PictureError, SettingsError
from pseudoword.files import file_stem, in_order, read_regular, write_whole
from pseudoword.fleet import archive
from pseudoword.formats import native, sources
from pseudoword.text import public
from pseudoword.training import initialisation

LARGEST_NBYTES = 256 * 1024 * 1024
"""A larger picture is not submitted."""

PICTURES, SENT, WORDS, ALSO = "pictures", ("init", "template"), "words", "also"
"""The folder of the pictures in an archive, of the file that each of these settings names, of other
words, and of what further new words start from. A file keeps its name, as it stands in what is said
of the word."""

AGAIN = "Submit the word again, and then retry it (`pseudoword queue QUEUE --retry NAME`)."
"""What to do about a job that is damaged."""

NOT_SENT = ("base", "configs")
"""Settings that may name something too large for a queue."""


@dataclass(frozen=True)
class Job:
    """A word to learn, as it lies in a queue."""

    name: str
    """the word, and letters of a checksum of all that it is learned from; so what is submitted
    twice is one job"""
    settings: str
    """TOML, as `train` takes it, but for the pictures"""
    files: bytes
    """an archive: the pictures with their captions and masks, and files that settings name"""


def make_job(config: TrainConfig, note: Callable[[str], None]) -> Job:
    """Put together all that a worker elsewhere needs to learn a word.

    Args:
        config: its settings.
        note: called with what each worker must have by itself.

    Raises:
        PseudowordError: a file cannot be read, or the pictures are not one folder.
    """
    folder = config.pictures[0]
    if len(config.pictures) > 1 or not folder.is_dir():
        raise PictureError(
            f"{config.token}: a queue takes one folder of pictures for each word. Make one of them."
        )
    found = picture_files.find([folder])
    masks = [path for paths in picture_files.mask_files(found).values() for path in paths]
    texts = [path for picture in found for path in picture_files.caption_files(picture)]
    files = {
        f"{PICTURES}/{path.relative_to(folder).as_posix()}": _read(path)
        for path in (*found, *masks, *texts)
    }
    for picture in found:  # lists of captions stay here
        text = None if picture_files.caption_files(picture) else listed_caption(picture)
        if text is not None:
            name = picture.with_suffix(".txt").relative_to(folder).as_posix()
            files[f"{PICTURES}/{name}"] = text.encode()
    values: dict[str, Any] = tomllib.loads(config.to_toml())
    del values["pictures"]
    first, *also = config.new_words
    if (concept := _concept_file(first)) is not None:
        files[f"init/{public(first.init)}"] = concept
        del values["init"]
    in_archive = {}
    for number, word in enumerate(also):
        if (concept := _concept_file(word)) is not None:
            in_archive[word.init] = f"{ALSO}/{number}/{public(word.init)}"
            files[in_archive[word.init]] = concept
    values["also"] = config.also_from(lambda init: in_archive.get(init, init))
    if (path := template_file(config.template)) is not None:
        files[f"template/{path.name}"] = _read(path)
        del values["template"]
    others, values[WORDS] = _other_words(config)
    files |= others
    for name in NOT_SENT:
        if (value := values.get(name)) and lookup.exists(Path(value)):
            note(f"{flag(name)} {value} is not put into the queue: workers need it there")
    for name in files:
        check_text(f"{config.token}: the file name", name)
    if (nbytes := sum(map(len, files.values()))) > archive.LARGEST_NBYTES:
        raise PictureError(
            f"{config.token}: its files have {nbytes / 1e9:.1f} GB; a queue takes at most "
            f"{archive.LARGEST_NBYTES / 1e9:.1f} GB of each word. Use fewer pictures, or smaller "
            "ones."
        )
    settings, packed = tomli_w.dumps(values), archive.pack(files)
    digest = hashlib.sha256(settings.encode(errors="surrogateescape") + b"\0" + packed).hexdigest()
    return Job(f"{file_stem(config.token)}-{digest[:12]}", settings, packed)


def open_job(job: Job, folder: Path, out: Path) -> TrainConfig:
    """Write the files of a job to a folder; its settings, for a run in `out`.

    Raises:
        PseudowordError: something in it is damaged, or is nothing that this version knows.
    """
    archive.unpack(job.files, folder, f"the archive of {job.name}", AGAIN)
    file = folder / "settings.toml"
    write_whole(file, job.settings.encode(errors="surrogateescape"))
    sent: dict[str, Any] = {n: str(path) for n in SENT for path in (folder / n).glob("*")}
    if words := [*map(str, in_order(folder / WORDS))] if (folder / WORDS).is_dir() else []:
        sent[WORDS] = [*words, *tomllib.loads(job.settings).get(WORDS, ())]
    config = TrainConfig.gather(file, pictures=[folder / PICTURES], out=out, **sent)
    here = {path.relative_to(folder).as_posix(): str(path) for path in folder.glob(f"{ALSO}/*/*")}
    also = tuple(config.also_from(lambda init: here.get(init, init)))
    return config.model_copy(update={"also": also})


def _concept_file(word: NewWord) -> bytes | None:
    """The concept that a word starts from, if it is a file here; workers find those on the hub."""
    concept = initialisation.named_concept(word)
    if concept is None:
        return None
    source, _ = lookup.split_token(word.init, word.flag)
    place = lookup.find(source, word.flag, error=ConceptError)
    return native.dump(concept) if isinstance(place, Path) else None


def _other_words(config: TrainConfig) -> tuple[dict[str, bytes], list[str]]:
    """The files of an archive for the words in files here, and the others, which are on the hub."""
    files: dict[str, bytes] = {}
    elsewhere = []
    for one in config.words:
        place = lookup.concept_place(lookup.split_token(one, "--words")[0], "--words")
        if not isinstance(place, Path):
            elsewhere.append(one)
            continue
        for concept in sources.read_concepts(one, flag="--words"):
            name = f"{len(files):02}-{file_stem(concept.token)}.safetensors"
            files[f"{WORDS}/{name}"] = native.dump(concept)
    return files, elsewhere


def _read(path: Path) -> bytes:
    kind = SettingsError if path.suffix == ".txt" else PictureError
    return read_regular(path, LARGEST_NBYTES, kind)
