"""The way to the hub, tried once before its library tries for half a minute."""

import socket
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

TRIES, PAUSE_SECONDS = 3, 0.5
"""A network that is only just there may not know a name the first time."""

CONNECT_SECONDS = 10
"""Whoever answers later is slow, and left to the library, which has more patience."""


def check_reachable(repository: str) -> None:
    """Check that `repository` can be fetched, if nothing of it is in the cache.

    Behind a proxy only that knows the way, so nothing is checked.

    Args:
        repository: `owner/name`.

    Raises:
        ConnectionError: there is no way to the hub.
    """
    from huggingface_hub import constants

    address = urlsplit(constants.ENDPOINT)
    cached = Path(constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}", "snapshots")
    is_proxied = {address.scheme, "all"} & getproxies().keys()
    if constants.HF_HUB_OFFLINE or cached.exists() or is_proxied or not address.hostname:
        return
    port = address.port or {"http": 80}.get(address.scheme, 443)
    for left in reversed(range(TRIES)):
        try:
            socket.create_connection((address.hostname, port), CONNECT_SECONDS).close()
            return
        except TimeoutError:
            return
        except OSError as error:
            if not left:
                raise ConnectionError(
                    f"{address.hostname} cannot be reached ({error.strerror or error}). Check the "
                    "network"
                ) from error
        time.sleep(PAUSE_SECONDS)
