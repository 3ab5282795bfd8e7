"""diffusers' and transformers' own loaders: used by one thread at a time, without their bars."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

_alone = RLock()

NOTICES = ("transformers.utils.import_utils", "bitsandbytes")
"""What logs, when pipelines are first imported, that packages are missing which nobody needs."""


@contextmanager
def using_loaders() -> Iterator[None]:
    """While open, no other thread of ours loads, and the libraries show neither progress bars nor
    `NOTICES`.

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
        told = {logger: logger.level for logger in map(logging.getLogger, NOTICES)}
        usual = torch.get_default_dtype()
        for library in shown:
            library.disable_progress_bar()
        for logger in told:
            logger.setLevel(logging.ERROR)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(usual)
            for logger, level in told.items():
                logger.setLevel(level)
            for library in shown:
                library.enable_progress_bar()
