"""Learn the words in `src/pseudoword/bundled/words`, which the notebooks draw with.

Run `python scripts/example_words.py` after the bundled base model has changed; it takes minutes.
Each word is in the format of another tool.
"""

import argparse
import tempfile
from pathlib import Path

from pseudoword import convert, generate, train_pack
from pseudoword.benchmark import artwork
from pseudoword.benchmark.tasks import TaskSet, write_training_pictures
from pseudoword.cli.console import Console
from pseudoword.commands.demo import TOKEN
from pseudoword.config import TrainConfig
from pseudoword.example_files import EXAMPLE_INIT, EXAMPLE_PICTURES, EXAMPLE_WORDS

OUT = EXAMPLE_WORDS
DEMO = "panda"
FORMATS = {DEMO: "native", "pumpkin": "a1111", "penguin": "a1111-png", "style-1": "kohya"}
"""Task -> format. All of these say what the word was learned for."""

ENDINGS = {"native": ".safetensors", "a1111": ".pt", "a1111-png": ".png", "kohya": ".safetensors"}
STYLE_NAME = "emojione"
PREVIEW_PX = 128


def main() -> None:
    """Learn them in one pack, and write them."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Console() as console:
        configs = [_config(task, Path(folder)) for task in FORMATS]
        for name, word in zip(FORMATS.values(), train_pack(configs, progress=console), strict=True):
            stem = word.folder.name
            prompt = f"a {word.concept.token} on a blue background"
            if stem == STYLE_NAME:
                prompt = f"a {word.concept.token} of a robot on a blue background"
            (drawn,) = generate(prompt, concept=word.concept, seed=2)
            preview = OUT / f"{stem}.preview.png"
            drawn.resize((PREVIEW_PX, PREVIEW_PX)).save(preview)
            is_picture = ENDINGS[name] == ".png"
            convert(
                word.folder,
                OUT / f"{stem}{ENDINGS[name]}",
                format=name,
                picture=preview if is_picture else None,
                overwrite=True,
            )
            if is_picture:
                preview.unlink()


def _config(task_name: str, folder: Path) -> TrainConfig:
    pictures, token, init = EXAMPLE_PICTURES, TOKEN, EXAMPLE_INIT
    if task_name != DEMO:
        tasks = TaskSet.build(artwork.load(), side_px=64).to_learn
        (task,) = [task for task in tasks if task.name == task_name]
        name = STYLE_NAME if task_name.startswith("style") else task_name
        pictures, token, init = folder / name, f"<{name}>", task.init_word
        pictures.mkdir()
        write_training_pictures(task, pictures)
    return TrainConfig.check(
        pictures=[pictures],
        token=token,
        init=init,
        template="captioned",
        preview=(),
        out=folder / "runs" / token.strip("<>"),
    )


if __name__ == "__main__":
    main()
