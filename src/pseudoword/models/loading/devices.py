"""Which device `--device` names, and which precision `--dtype`."""

import os
import shutil
from typing import get_args

import torch

from pseudoword.config.base_choice import DType
from pseudoword.errors import SettingsError
from pseudoword.models.compute.precision import fastest
from pseudoword.text import brief

VARIABLE, DTYPE_VARIABLE = "PSEUDOWORD_DEVICE", "PSEUDOWORD_DTYPE"
"""The environment variables for what `auto` means, on a machine or in a test run."""


def device(name: str) -> torch.device:
    """The device called `name`, in upper or lower case; `auto` is the best of this machine.

    Raises:
        SettingsError: there is no such device; the message lists those that exist.
    """
    argument = f"--device {brief(name)}" if name.strip() else "--device is empty"
    wanted = name.strip().lower()
    if wanted == "auto" and os.environ.get(VARIABLE):
        wanted = os.environ[VARIABLE].strip().lower()
        argument = f"{VARIABLE}={os.environ[VARIABLE]}"
    devices = available()
    by_name = {"auto": devices[-1], "cpu:0": "cpu"}
    for device_name in devices:
        by_name |= {device_name: device_name, device_name.removesuffix(":0"): device_name}
    if wanted in by_name:
        return torch.device(by_name[wanted])
    raise SettingsError(
        f"{argument}: there is no such device here. Available: {', '.join(devices)}, "
        f"or auto, which is {devices[-1]}."
    )


def dtype(name: DType, device: torch.device) -> torch.dtype:
    """The precision called `name`; `auto` is the one in which `device` is fastest.

    Raises:
        SettingsError: the environment names no precision.
    """
    wanted = name if name != "auto" else os.environ.get(DTYPE_VARIABLE, "").strip().lower()
    if wanted in {"", "auto"}:
        return fastest(device)
    if wanted in (known := get_args(DType)):
        named: torch.dtype = getattr(torch, wanted)
        return named
    raise SettingsError(f"{DTYPE_VARIABLE}={brief(wanted)}: must be one of {', '.join(known)}.")


def available() -> list[str]:
    """Names of all devices of this machine that torch supports, the best last."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    count = torch.accelerator.device_count() if accelerator else 0
    return ["cpu", *(f"{accelerator}:{i}" for i in reversed(range(count)))]


def unused_gpu(name: str) -> str | None:
    """What a user should know whose `--device` is `name`, and who has a GPU that torch misses."""
    left_open = name.strip().lower() == "auto" and not os.environ.get(VARIABLE)
    if not left_open or len(available()) > 1 or shutil.which("nvidia-smi") is None:
        return None
    why = "finds no driver that suits it" if torch.version.cuda else "is built without CUDA"
    return (
        f"computing on the CPU: there seems to be an NVIDIA GPU, but torch {torch.__version__} "
        f"{why}. See https://pytorch.org/get-started/locally; --device cpu says that this is meant"
    )
