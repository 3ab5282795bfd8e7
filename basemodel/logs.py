"""Stages' logs: read, shipped beside the weights, and brought back to go on from them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from basemodel.settings import Settings

STAGES = ("clip", "vae", "unet", "madewords", "judge_tower", "judge", "judge_words")


def read_log(path: Path) -> list[dict[str, float]]:
    """A stage's log, one row a step; rows repeated after a resume count once."""
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return list({row["step"]: row for row in rows}.values())


def send_logs_along(settings: Settings, folder: Path) -> None:
    """Copy the logs into the bundle being built."""
    for stage in STAGES:
        source = settings.work / f"{stage}.jsonl"
        if source.exists():
            (folder / "logs").mkdir(exist_ok=True)
            lines = [json.dumps(row) for row in read_log(source)]
            target = folder / "logs" / source.name
            target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def bring_logs_back(settings: Settings) -> int:
    """Copy the bundle's logs to where there are none; returns the denoiser's last shipped step."""
    shipped = settings.bundled / "emoji" / "logs"
    settings.work.mkdir(parents=True, exist_ok=True)
    for stage in STAGES:
        source, target = shipped / f"{stage}.jsonl", settings.work / f"{stage}.jsonl"
        if source.exists() and not target.exists():
            shutil.copy(source, target)
    rows = read_log(shipped / "unet.jsonl")
    return int(rows[-1]["step"]) if rows else 0
