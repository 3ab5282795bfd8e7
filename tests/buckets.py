"""A server of buckets, as S3's, in this process."""

import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import fsspec
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


class _Quiet(WSGIRequestHandler):
    def log(self, *_args: object, **_more: object) -> None:
        pass


@contextmanager
def bucket_server(port: int = 0) -> Iterator[str]:
    """Serve buckets while the context lasts; the server's address.

    One request is answered at a time: moto looks first whether an object is there, and writes it
    then. S3 itself does both at once.
    """
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", port, app, threaded=False, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()


def environment(server: str) -> dict[str, str]:
    """The environment variables with which a process finds the server."""
    return KEYS | {"AWS_ENDPOINT_URL_S3": server}


def make_bucket() -> str:
    """Make a bucket on the server that the environment names; its address."""
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(name)
    return f"s3://{name}"


@contextmanager
def a_bucket() -> Iterator[str]:
    """A bucket on a server of its own, which this process and those it starts find."""
    with bucket_server() as server, mock.patch.dict(os.environ, environment(server)):
        yield make_bucket()
