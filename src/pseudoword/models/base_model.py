"""Load a base model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from pseudoword import imports
from pseudoword.config import BaseChoice, DType
from pseudoword.models.detection import Detected, detect
from pseudoword.models.families import load_class
from pseudoword.models.family import Family
from pseudoword.models.loading import devices
from pseudoword.models.loading.model_configs import ModelConfigs
from pseudoword.models.loading.source import Placement
from pseudoword.models.reading.prompt_reader import PromptReader


def load(
    choice: BaseChoice,
    note: Callable[[str], None] = lambda _sentence: None,
    *,
    checkpointing: bool = False,
    offload: bool = False,
    offload_blocks: bool = False,
) -> Family:
    """Load the base model of `choice`, frozen, to train words for or to draw with.

    Args:
        choice: which model, on which device, in which precision.
        note: told of a GPU that torch cannot use.
        checkpointing: compute activations again in the backward pass instead of keeping them.
        offload: keep each part in main memory while it is not needed for drawing.
        offload_blocks: keep each block in main memory while it is not at work, unless the device
            is a CPU.

    Raises:
        BaseModelError: there is no such model, it cannot be loaded, or its kind is not supported.
        SettingsError: there is no such device, or the model predicts something else than is said.
    """
    if missed := devices.unused_gpu(choice.device):
        note(missed)
    place = placement(choice, checkpointing, offload)
    away = offload_blocks and place.device.type != "cpu"
    return build(detect(choice), replace(place, offload_blocks=away))


def build(detected: Detected, place: Placement) -> Family:
    """Load a base model that `detect` has found, as `place` says.

    Raises:
        BaseModelError: it cannot be loaded.
    """
    imports.import_libraries()
    return load_class(detected.family)(detected.source, place)


def load_named(base: str | Path, device: str = "auto", dtype: DType = "auto") -> Family:
    """Load a base model by name, as `load` does."""
    return load(BaseChoice.check(base=base, device=device, dtype=dtype))


class Unloaded:
    """What is known of a base model without its weights."""

    def __init__(self, choice: BaseChoice) -> None:
        """Find the base model of `choice`.

        Raises:
            BaseModelError: there is no such model, or its kind is not supported.
            SettingsError: there is no such device.
        """
        detected = detect(choice)
        imports.import_libraries()
        devices.device(choice.device)  # for its error: nothing is put there
        self._kind = load_class(detected.family)
        self._configs = ModelConfigs(detected.source)

    @property
    def resolution(self) -> tuple[int, int]:
        """The side of the square that it draws, and what sides must be multiples of, in pixels."""
        return self._kind.resolution_of(self._configs)

    @property
    def graphable(self) -> bool:
        """As in `Family`."""
        return self._kind.graphable

    @property
    def readers(self) -> list[PromptReader]:
        """Its tokenizers and prompt lengths."""
        return self._kind.readers(self._configs)


def placement(
    choice: BaseChoice, checkpointing: bool = False, offload: bool = False, empty: bool = False
) -> Placement:
    """The device and precision of `choice`; `auto` is the best that this machine has.

    With `empty`, models are made from their configs alone, on the meta device.

    Raises:
        SettingsError: there is no such device, or the environment names no such precision.
    """
    device = (devices.planned_for if empty else devices.device)(choice.device)
    home = torch.device("meta") if empty else device
    dtype = devices.dtype(choice.dtype, device)
    return Placement(home, dtype, choice.quantize, checkpointing, offload)
