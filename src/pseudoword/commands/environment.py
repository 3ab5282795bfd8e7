"""`env`: what pseudoword finds on this machine, as a report of a fault should say."""

import contextlib
import os
import platform
import re
from collections import defaultdict
from importlib import metadata
from typing import Any

import torch
from pydantic import BaseModel

from pseudoword.errors import SettingsError
from pseudoword.files import cache_folder
from pseudoword.models.compute.device_memory import memory_nbytes
from pseudoword.models.loading import devices

LIBRARIES = "pseudoword torch diffusers transformers accelerate safetensors gradio".split()
"""Packages whose versions matter most."""

VARIABLES = (
    "PSEUDOWORD_DEVICE PSEUDOWORD_DTYPE PSEUDOWORD_CACHE HF_HOME HF_HUB_OFFLINE "
    "CUDA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES HSA_OVERRIDE_GFX_VERSION ZE_AFFINITY_MASK "
    "OMP_NUM_THREADS PYTORCH_ALLOC_CONF PYTORCH_CUDA_ALLOC_CONF"
).split()
"""Variables of the environment that change what happens. None of them holds a secret."""

_NEEDED_FOR = re.compile(r"""^([\w.-]+).*;.*\bextra == ["'](\w+)["']""")


class Device(BaseModel):
    """Something that torch can compute on."""

    name: str
    """as `--device` takes it"""
    model: str
    memory_nbytes: int | None
    dtype: str
    """the precision that `--dtype auto` is there"""
    problem: str
    """why nothing can be computed on it; empty if something can"""


class Environment(BaseModel):
    """What there is on this machine."""

    versions: dict[str, str]
    """package -> its version"""
    system: str
    devices: list[Device]
    """the best last"""
    device: str
    """what `--device auto` is; empty if it cannot be said"""
    notes: list[str]
    """what is odd about the devices"""
    threads: int
    """threads that compute on the CPU"""
    extras: dict[str, bool]
    """extra of the package -> whether all of its packages are installed"""
    cache: str
    variables: dict[str, str]
    """variable of the environment -> its value, if it has one"""


def describe_environment() -> Environment:
    """Describe this machine; the public `env`."""
    versions = {"python": platform.python_version()}
    versions |= {name: found for name in LIBRARIES if (found := _version(name))}
    versions["torch"] = torch.__version__  # which build it is, too
    chosen, notes = "", list[str]()
    try:
        chosen = str(devices.device("auto"))
        notes += filter(None, [devices.unused_gpu("auto")])
    except SettingsError as error:
        notes.append(str(error))
    return Environment(
        versions=versions,
        system=platform.platform(),
        devices=[_described(name) for name in devices.available()],
        device=chosen,
        notes=notes,
        threads=torch.get_num_threads(),
        extras=_extras(),
        cache=str(cache_folder()),
        variables={name: os.environ[name] for name in VARIABLES if os.environ.get(name)},
    )


def _described(name: str) -> Device:
    device = torch.device(name)
    model = platform.processor() or platform.machine()
    if device.type != "cpu":
        model = ""
        with contextlib.suppress(AttributeError, RuntimeError):  # Apple's has no name
            ask: Any = torch.get_device_module(device)
            model = str(ask.get_device_name(device))
    dtype, problem = "", devices.misfit(name)
    if not problem:
        try:
            dtype = str(devices.dtype("auto", device)).removeprefix("torch.")
        except SettingsError as error:
            problem = str(error)
    return Device(
        name=name, model=model, memory_nbytes=memory_nbytes(device), dtype=dtype, problem=problem
    )


def _extras() -> dict[str, bool]:
    """The extras of the package as it is installed, and whether they are."""
    needed: defaultdict[str, list[str]] = defaultdict(list)
    for requirement in metadata.requires("pseudoword") or ():
        if found := _NEEDED_FOR.match(requirement):
            needed[found[2]].append(found[1])
    return {extra: all(map(_version, names)) for extra, names in sorted(needed.items())}


def _version(package: str) -> str:
    """The version of an installed package; empty without it."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return ""
