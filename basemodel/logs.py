"""The stages' logs: kept in work/, shipped with the weights, copied back to train further."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from basemodel.settings import Settings

STAGES = ("clip", "vae", "unet", "madewords", "judge_tower", "judge", "judge_words")
"""Names of the stages' files. The similarity model's are called judge, as in earlier runs."""


def say(stage: str, text: str) -> None:
    """Print one line with the time, for a terminal and a log alike."""
    print(f"{time.strftime('%H:%M:%S')} [{stage}] {text}", flush=True)


def log_file(folder: Path, stage: str) -> Path:
    """Where a stage's log is kept."""
    return folder / f"{stage}.jsonl"


def read_log(path: Path) -> list[dict[str, float]]:
    """A stage's log, one row for each logged step; of rows repeated after a resume the last."""
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return list({row["step"]: row for row in rows}.values())


def copy_logs_to_bundle(settings: Settings, folder: Path) -> None:
    """Copy the logs into the base model's folder while it is built."""
    for stage in STAGES:
        source = log_file(settings.work, stage)
        if source.exists():
            (folder / "logs").mkdir(exist_ok=True)
            lines = [json.dumps(row) for row in read_log(source)]
            target = log_file(folder / "logs", stage)
            target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def copy_logs_from_bundle(settings: Settings) -> int:
    """Copy the bundle's logs to `work` if it has none; returns the U-Net's last shipped step."""
    shipped = settings.bundled / "emoji" / "logs"
    settings.work.mkdir(parents=True, exist_ok=True)
    for stage in STAGES:
        source, target = log_file(shipped, stage), log_file(settings.work, stage)
        if source.exists() and not target.exists():
            shutil.copy(source, target)
    rows = read_log(log_file(shipped, "unet"))
    return int(rows[-1]["step"]) if rows else 0
