"""diffusers' and transformers' own loaders: used by one thread at a time, without their bars."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

_alone = RLock()


@contextmanager
def by_default(dtype: torch.dtype) -> Iterator[None]:
    """While open, that is torch's default precision, whatever the process has.

    It waits for a thread that loads: that has a precision of its own, and would get this one.
    """
    with _alone:
        usual = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        with _alone:
            torch.set_default_dtype(usual)


@contextmanager
def using_loaders() -> Iterator[None]:
    """While open, no other thread of ours loads, and the libraries show no progress bars.

    While they load, they change what holds for the whole process, such as torch's default
    precision: two at once get each other's, and leave it so. It is float32 at first, for what a
    model makes itself.
    """
    import diffusers.utils.logging
    import transformers.utils.logging

    with _alone, by_default(torch.float32):
        shown = [
            library
            for library in (diffusers.utils.logging, transformers.utils.logging)
            if library.is_progress_bar_enabled()
        ]
        for library in shown:
            library.disable_progress_bar()
        try:
            yield
        finally:
            for library in shown:
                library.enable_progress_bar()
