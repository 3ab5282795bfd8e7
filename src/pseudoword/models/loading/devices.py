"""What `--device` means here: a device that is there, or a sentence with those that are."""

import os

import torch

from pseudoword.errors import SettingsError
from pseudoword.text import brief

VARIABLE = "PSEUDOWORD_DEVICE"
"""The environment variable that says what `auto` means, for a whole machine or test run."""


def device(name: str) -> torch.device:
    """The device called `name`; `auto` is the best there is.

    Raises:
        SettingsError: there is none of that name.
    """
    told = f"--device {brief(name)}" if name.strip() else "--device is empty"
    wanted = name.strip().lower()
    if wanted == "auto" and os.environ.get(VARIABLE):
        wanted = os.environ[VARIABLE].strip().lower()
        told = f"{VARIABLE}={os.environ[VARIABLE]}"
    known = available()
    called = {"auto": known[-1]}
    for one in known:
        called |= {one: one, one.removesuffix(":0"): one}
    called["cpu:0"] = "cpu"
    if wanted in called:
        return torch.device(called[wanted])
    raise SettingsError(
        f"{told}: there is no such device here. What is: {', '.join(known)}, "
        f"or auto, which is {known[-1]}."
    )


def available() -> list[str]:
    """Names of all devices that torch can compute with here, the best last."""
    found = ["cpu"]
    if torch.backends.mps.is_available():
        found.append("mps")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return found + [f"cuda:{i}" for i in reversed(range(count))]
