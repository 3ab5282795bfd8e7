"""Damaged, dishonest and foreign files, a few of every kind; `benchmarks/mutations.py` reads
thousands."""

import os
import pickle
import random
import time
from pathlib import Path

import mutations
import pytest
from embedding_files import torch_bytes
from mutation_readers import SHARES, Embeddings, Pictures

from pseudoword.errors import ConceptError


@pytest.mark.parametrize("reader", SHARES, ids=lambda reader: reader.__name__)
def test_every_damaged_file_is_read_or_refused(reader: type[mutations.Reader]) -> None:
    count = {Embeddings: 120, Pictures: 40}.get(reader, 2 + SHARES[reader])
    came = mutations.run(reader, count, seed=5)
    assert came.clean, came.faults
    assert came.files == count
    if reader in (Embeddings, Pictures):
        assert came.accepted > count / 40
        assert came.refused > count / 4
        assert len(came.kinds) > 20
    if reader is Embeddings:
        assert came.most_mb < 128


class Bad:
    """A reader that does everything that is forbidden."""

    sentences = 1

    def __init__(self, folder: Path) -> None:
        self.folder, self.held = folder, b""

    def make(self, i: int, chance: random.Random) -> tuple[str, bytes]:
        return ("whole", "runs", "dies", "hangs", "takes", "breaks", "learns", "refuses")[i], b"x"

    def read(self, kind: str, data: bytes) -> None:
        match kind:
            case "runs":
                os.system("true")
            case "dies":
                os.kill(os.getpid(), 11)
            case "hangs":
                time.sleep(99)
            case "takes":
                self.held = b"x" * (1 << 26)
                self.held = b""
            case "breaks":
                pickle.loads(torch_bytes({}))
            case "learns":
                raise mutations.Learned("more than there is")
            case "refuses":
                raise ConceptError("it is no word")


def test_the_harness_sees_what_goes_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mutations, "SLOW_SECONDS", 0.5)
    monkeypatch.setattr(mutations, "GIGABYTE", 1 << 25)
    came = mutations.run(Bad, 8, kept=tmp_path / "kept")
    assert came.numbers == came.numbers | {
        **{"files": 8, "accepted": 3, "refused": 1, "crashed": 2, "hung": 1, "gigabytes": 1},
        **{"executed": 1, "learned": 1},
    }
    assert not came.clean, came.faults
    assert len(came.faults) == 6
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {
        f"Bad-0-{at}" for at in (1, 2, 3, 4, 5, 6)
    }
