import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from buckets import a_bucket

from pseudoword.fleet.jobs import Job
from pseudoword.fleet.queue import Queue, make_queue


@pytest.fixture(autouse=True)
def _share(models_are_kept: None) -> None:
    """Workers share loaded models."""


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    with a_bucket() as address:
        yield address


@pytest.fixture(params=["folder", "memory", "bucket"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a queue may lie."""
    if request.param == "folder":
        return str(tmp_path / "queue")
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    return f"{request.getfixturevalue('bucket')}/{uuid.uuid4().hex}"


@pytest.fixture
def queue(address: str) -> Queue:
    """A queue with one job."""
    made = make_queue(address)
    made.submit(Job("cat-1", "steps = 2\n", b"pictures"))
    return made
