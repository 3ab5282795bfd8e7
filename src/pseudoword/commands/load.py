"""`load`: a base model that stays in memory for several calls."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from threading import RLock
from typing import Any, NoReturn

from pseudoword.config import LoadConfig, Settings, TrainConfig, flag
from pseudoword.errors import SettingsError
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.loading import devices
from pseudoword.progress import Progress
from pseudoword.text import brief


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

    def settings_with(self, kind: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a call, completed by those of this model that such calls have.

        Raises:
            SettingsError: one asks for something else than this model.
        """
        own = self._config.model_dump()
        named = {name: value for name, value in kind.own_names(given).items() if name != "base"}
        asked = LoadConfig.check(**{name: named[name] for name in own if name in named})
        self._check(asked, named, offload=bool(named.get("offload")))
        return named | {name: own[name] for name in own if name in kind.model_fields}

    def completed(self, config: TrainConfig) -> TrainConfig:
        """These settings, with those of this model where nothing else was given.

        Raises:
            SettingsError: one asks for something else than this model.
        """
        self._check(config, config.model_fields_set, offload=config.offload)
        own = self._config.model_dump()
        return config.model_copy(update={name: own[name] for name in LoadConfig.model_fields})

    def _check(self, asked: Settings, names: Collection[str], *, offload: bool) -> None:
        if offload:
            raise SettingsError(
                "--offload: the base model is in memory already. Leave it out, or give the name of "
                "the base model."
            )
        for name in LoadConfig.model_fields:
            if name in names and not self._is_so(name, value := getattr(asked, name)):
                raise SettingsError(
                    f"{flag(name)}: should be {brief(self._told(name))}, as for the base model in "
                    f"memory, got {brief(value)}"
                )

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
    """Load a base model; the public `load`.

    Raises:
        BaseModelError: it cannot be loaded.
        SettingsError: there is no such device.
    """
    progress.phase(f"loading {config.base}")
    checkpointing = config.gradient_checkpointing
    return Loaded(config, base_model.load(config, progress.note, checkpointing=checkpointing))


@contextmanager
def settings_and_base(
    kind: type[Settings], given: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, Any], Family | None]]:
    """The settings of a call, and the base model if it is in memory already.

    Raises:
        SettingsError: the settings ask for something else than that model.
    """
    loaded = kind.own_names(given).get("base")
    if not isinstance(loaded, Loaded):
        yield given, None
        return
    settings = loaded.settings_with(kind, given)
    with loaded.use() as family:
        yield settings, family
