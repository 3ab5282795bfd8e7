"""diffusers' and transformers' own loaders: used by one thread at a time, without their bars."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

_alone = RLock()


@contextmanager
def using_loaders() -> Iterator[None]:
    """While open, no other thread of ours loads, and the libraries show no progress bars.

    While they load, they change what holds for the whole process, such as torch's default
    precision: two at once get each other's, and leave it so. It is float32 at first, whatever the
    process has, for what a model makes itself.
    """
    import diffusers.utils.logging
    import transformers.utils.logging

    with _alone:
        shown = [
            library
            for library in (diffusers.utils.logging, transformers.utils.logging)
            if library.is_progress_bar_enabled()
        ]
        usual = torch.get_default_dtype()
        for library in shown:
            library.disable_progress_bar()
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(usual)
            for library in shown:
                library.enable_progress_bar()
