"""`load`: a base model that stays in memory for several calls."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import RLock
from typing import Any, NoReturn, TypeVar

from pseudoword.config import LoadConfig, flag
from pseudoword.config.base_choice import BaseChoice
from pseudoword.config.other_trainers.aliases import names_of
from pseudoword.errors import SettingsError
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.loading import devices
from pseudoword.progress import Progress
from pseudoword.text import brief

C = TypeVar("C", bound=BaseChoice)


class Loaded:
    """A base model in memory: `train`, `train_pack`, `generate` and `evaluate` take it as `base`.

    One call at a time computes with it; those of other threads wait. It leaves memory when nobody
    holds it any more.
    """

    def __init__(self, config: LoadConfig, family: Family) -> None:
        """Hold a model that was loaded with `config`."""
        self._config, self._family = config, family
        self._turn = RLock()

    def __repr__(self) -> str:
        """Which model it is, and where."""
        where = f"{self._family.device}, {self._family.dtype}"
        return f"<base model in memory: {self._config.base}, {where}>"

    def __reduce__(self) -> NoReturn:
        """A copy would be a model of its own, and in another process, too.

        Raises:
            TypeError: always, as Python does for what cannot be pickled.
        """
        raise TypeError(
            "A base model in memory cannot be copied or sent to another process. Load it there: "
            f"pseudoword.load({self._config.base!r})."
        )

    @contextmanager
    def use(self) -> Iterator[Family]:
        """While open, the model computes for nobody else."""
        with self._turn:
            yield self._family

    @property
    def base(self) -> str:
        """The model's name, as it was given."""
        return self._config.base

    def completed(self, config: C) -> C:
        """These settings, with those of this model where nothing else was given.

        Raises:
            SettingsError: one asks for something else than this model.
        """
        if getattr(config, "offload", False):
            raise SettingsError(
                "--offload: the base model is in memory already. Leave it out, or give the name of "
                "the base model."
            )
        own = self._config.model_dump(include=set(type(config).model_fields))
        for name in own:  # in their order, so that the first of several mistakes is always the same
            given = name in config.model_fields_set
            if given and not self._is_so(name, value := getattr(config, name)):
                raise SettingsError(
                    f"{flag(name)}: should be {brief(self._told(name))}, as for the base model in "
                    f"memory, got {brief(value)}"
                )
        return config.model_copy(update=own)

    def _is_so(self, name: str, asked: object) -> bool:
        """Whether this model is as asked for: `auto` leaves it to the model, whatever it is."""
        by_itself = LoadConfig.model_fields[name].default == "auto" == asked
        if by_itself or asked == getattr(self._config, name):
            return True
        if name == "device":
            return devices.device(str(asked)) == self._family.device
        return name == "dtype" and asked == self._told(name)

    def _told(self, name: str) -> object:
        """A setting of this model, as a call would give it: what `auto` has become."""
        if name == "device":
            return str(self._family.device)
        if name == "dtype":
            return str(self._family.dtype).removeprefix("torch.")
        return getattr(self._config, name)


def load_base(config: LoadConfig, progress: Progress) -> Loaded:
    """Load a base model; the public `load`."""
    progress.phase(f"loading {config.base}")
    checkpointing = config.gradient_checkpointing
    return Loaded(config, base_model.load(config, progress.note, checkpointing=checkpointing))


@contextmanager
def settings_and_base(
    check: Callable[..., C], given: Mapping[str, Any]
) -> Iterator[tuple[C, Family | None]]:
    """The settings of a call, and the base model if it is in memory already.

    Args:
        check: makes the settings of what was given, and perhaps of a file.
        given: what was given; `base` may be a `Loaded`.

    Raises:
        SettingsError: a setting is wrong, or asks for something else than that model.
    """
    for name, value in given.items():
        if isinstance(value, Loaded) and names_of(LoadConfig).get(name, name) == "base":
            config = value.completed(check(**{**given, name: value.base}))
            with value.use() as family:
                yield config, family
            return
    yield check(**given), None
