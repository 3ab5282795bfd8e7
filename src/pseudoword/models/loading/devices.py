"""Which device `--device` names, and which precision `--dtype`."""

import os
import shutil
from collections.abc import Sequence
from typing import get_args

import torch

from pseudoword.config.base_choice import DType
from pseudoword.errors import SettingsError
from pseudoword.models.compute.precision import fastest
from pseudoword.text import brief

VARIABLE, DTYPE_VARIABLE = "PSEUDOWORD_DEVICE", "PSEUDOWORD_DTYPE"
"""The environment variables for what `auto` means, on a machine or in a test run."""

GPUS = "cuda", "xpu", "mps"
"""Names of devices that memory can be planned for where there is no such GPU."""

OTHER_BUILDS = "See https://pytorch.org/get-started/locally for other builds"


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
    by_name = {"cpu:0": "cpu"}
    for device_name in devices:
        by_name |= {device_name: device_name, device_name.removesuffix(":0"): device_name}
    if wanted not in {*by_name, "auto"}:
        raise SettingsError(
            f"{argument}: there is no such device here. Available: {', '.join(devices)}, "
            f"or auto, which is {_best(devices)}."
        )
    chosen = _best(devices) if wanted == "auto" else by_name[wanted]
    if why := misfit(chosen):
        raise SettingsError(f"{argument}: {why}.")
    return torch.device(chosen)


def planned_for(name: str) -> torch.device:
    """The device called `name`, on which nothing is put: a GPU may be on another machine, and then
    has no number.

    Raises:
        SettingsError: there is no such device; the message lists those that exist.
    """
    kind = name.strip().lower()
    if kind in GPUS and not any(one.startswith(kind) for one in available()):
        return torch.device(kind)
    return device(name)


def _best(devices: Sequence[str]) -> str:
    return next(one for one in reversed(devices) if not misfit(one))


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


def misfit(device: str) -> str:
    """Why torch cannot compute on a device that it sees; empty if it can."""
    built_for = torch.cuda.get_arch_list() if device.startswith("cuda") else []
    if not built_for or torch.version.hip:
        return ""
    own = torch.cuda.get_device_capability(device)
    for kind, major, minor in map(_architecture, built_for):
        if (major, minor) <= own and (major == own[0] or kind == "compute"):
            return ""
    return (
        f"torch {torch.__version__} is not built for this {torch.cuda.get_device_name(device)} "
        f"(capability {own[0]}.{own[1]}), but for {', '.join(built_for)}. {OTHER_BUILDS}"
    )


def _architecture(name: str) -> tuple[str, int, int]:
    """sm_120a -> sm, 12, 0: code for GPUs of that generation; compute_75 fits later ones, too."""
    kind, _, number = name.partition("_")
    digits = number.rstrip("abcdefghijklmnopqrstuvwxyz")
    return kind, int(digits[:-1]), int(digits[-1])


def unused_gpu(name: str) -> str | None:
    """What a user should know whose `--device` is `name`, and who has a GPU that torch misses."""
    left_open = name.strip().lower() == "auto" and not os.environ.get(VARIABLE)
    if not left_open or device(name).type != "cpu" or shutil.which("nvidia-smi") is None:
        return None
    why = misfit("cuda:0") if torch.cuda.device_count() else ""
    if not why:
        fault = "finds no driver that suits it" if torch.version.cuda else "is built without CUDA"
        why = f"there seems to be an NVIDIA GPU, but torch {torch.__version__} {fault}"
        why += f". {OTHER_BUILDS}"
    return f"computing on the CPU: {why}; --device cpu says that this is meant"
