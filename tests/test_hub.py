"""Without a way to the hub that is told at once; a slow one is left to the hub's library."""

import socket
from pathlib import Path

import pytest
from fake_hub import serve

from pseudoword import hub
from pseudoword.config import BaseChoice
from pseudoword.errors import BaseModelError, ConceptError
from pseudoword.formats import sources
from pseudoword.models.detection import detect

REPOSITORY = "nobody/no-such-model"


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The libraries may ask the hub; its cache is empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "PAUSE_SECONDS", 0)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's address is a port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of the hub's library, which knows nothing."""
    calls: list[str] = []

    def fail(repository: str, *_: object, **__: object) -> None:
        calls.append(repository)
        raise OSError("the library failed")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", lambda _, *a, **k: fail(*a, **k))
    return calls


@pytest.mark.usefixtures("nobody_answers")
def test_the_library_does_not_try_where_there_is_no_way(library: list[str]) -> None:
    said = r"could not be fetched from the hub: 127\.0\.0\.1 cannot be reached .*Check the network"
    with pytest.raises(BaseModelError, match=said):
        detect(BaseChoice(base=REPOSITORY))
    with pytest.raises(ConceptError, match=said):
        sources.read_named(REPOSITORY)
    assert not library


def test_a_name_that_nobody_knows_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def connect(*_: object) -> None:
        tries.append(1)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(ConnectionError, match=r"reached \(Name or service not known\)"):
        hub.check_reachable(REPOSITORY)
    assert len(tries) == hub.TRIES


def test_a_slow_network_is_left_to_the_library(
    library: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(BaseModelError, match="the library failed"):
        detect(BaseChoice(base=REPOSITORY))
    assert library == [REPOSITORY]


@pytest.mark.usefixtures("nobody_answers")
@pytest.mark.parametrize("way", ["cache", "proxy", "offline"])
def test_what_is_in_the_cache_or_behind_a_proxy_is_left_to_the_library(
    way: str, library: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if way == "cache":
        (tmp_path / "models--nobody--no-such-model" / "snapshots").mkdir(parents=True)
    elif way == "proxy":
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    else:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BaseModelError, match="the library failed"):
        detect(BaseChoice(base=REPOSITORY))
    assert library == [REPOSITORY]


def test_a_hub_that_answers_is_asked(library: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as (_, address):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        with pytest.raises(ConceptError, match="the library failed"):
            sources.read_named(REPOSITORY)
    assert library == [REPOSITORY]
