"""The command line: thin, and quick to say `--help`. Options come from `config`, word for word."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pseudoword import imports, lookup, threads
from pseudoword.cli.console import Console
from pseudoword.cli.options import (
    check_queue_there,
    check_there,
    dashed,
    file_or_folder,
    file_path,
    guarded,
    path_option,
    settings_from,
    text_option,
)
from pseudoword.cli.program import Command, Program
from pseudoword.cli.tables import (
    show_bases,
    show_environment,
    show_evaluation,
    show_gallery,
    show_inspection,
    show_plan,
    show_prepared,
    show_queue,
)
from pseudoword.cli.terminal import say
from pseudoword.config import (
    BaseChoice,
    BenchConfig,
    EvaluateConfig,
    GenerateConfig,
    PlanConfig,
    PrepareConfig,
    Settings,
    TrainConfig,
    WorkConfig,
    flag,
)
from pseudoword.config.word_folders import word_configs
from pseudoword.config.written_files import ENDINGS, embedding_format, is_folder, picture_format
from pseudoword.errors import ConceptError
from pseudoword.text import command, counted, json_text, version

app = typer.Typer(
    cls=Program,
    rich_markup_mode=None,
    help="Teach a frozen text-to-image model a new word from three to five pictures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["--help", "-h"],
        "token_normalize_func": dashed,
    },
)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"pseudoword {version()}")
        raise typer.Exit


@app.callback()
def program(
    _version: Annotated[
        bool, typer.Option("--version", "-V", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """All commands."""


def _command(group: str, name: str | None = None) -> Callable[[Any], Any]:
    """A decorator that makes a function a command, in this group of the page of all commands."""
    return lambda run: app.command(name, cls=Command, rich_help_panel=group)(guarded(run))


Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that this command did not write.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
QueueAddress = Annotated[
    str,
    typer.Argument(metavar="QUEUE", help="A folder that all workers share, or s3://bucket/path."),
]
Concepts = Annotated[
    list[str] | None,
    text_option(
        help="An embedding file, a run's folder, or a hub id; FILE=TOKEN renames it. "
        "May be repeated."
    ),
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Forget the run in its folder, and begin again.")
]
ConfigFile = Annotated[
    Path | None,
    path_option(
        help="A TOML file of settings. It may be a run's config.toml; options given beside it "
        "count more.",
    ),
]
AllowChanges = Annotated[
    bool,
    typer.Option(
        "--allow-changes",
        help="Go on with a run although settings have changed.",
        hidden=True,
    ),
]


@_command("Teach")
@settings_from(TrainConfig, argument="pictures", or_file=True)
def train(
    *,
    config: ConfigFile = None,
    restart: Restart = False,
    allow_changes: AllowChanges = False,
    overwrite: Overwrite = False,
    **settings: Any,
) -> None:
    """Learn a new word from pictures."""
    checked = TrainConfig.gather(config, **settings)  # before anything heavy is imported
    check_there(checked)
    with Console() as console:
        if "base" not in checked.model_fields_set:
            console.note(
                f"the word is learned on {checked.base}, a small model that knows emoji only. For "
                "photographs, give a Stable Diffusion model as --base."
            )
        from pseudoword import api

        (done,) = api.train_pack(
            [checked],
            restart=restart,
            allow_changes=allow_changes,
            overwrite=overwrite,
            progress=console,
        )
    for file, word in done.words.items():
        say(f"{word.token} is ready: {file}")
    prompt = f"a photo of {' and '.join(word.token for word in done.words.values())}"
    given: list[object] = ["--concept", done.folder]
    for name, field in BaseChoice.model_fields.items():  # or it would be drawn with another model
        value = getattr(checked, name)
        if name == "base" or value != field.default:
            given += [flag(name), value]
    given += ["--out", "picture.png"]
    say(f"try: {command('pseudoword', 'generate', prompt, *given)}")


@_command("Teach", "train-many")
@settings_from(TrainConfig, without=("pictures", "token", "out"))
def train_many(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=file_path,
            metavar="FOLDER",
            help="A folder of folders of pictures, where cat/ teaches <cat>; or a TOML list of "
            "concepts.",
        ),
    ],
    *,
    out: Annotated[Path, path_option(help="Gets a run's folder for each word.")],
    pack: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="<number>",
            help="How many words to learn at once; by default as many as fit, up to 16.",
        ),
    ] = None,
    config: ConfigFile = None,
    restart: Restart = False,
    allow_changes: AllowChanges = False,
    overwrite: Overwrite = False,
    **settings: Any,
) -> None:
    """Learn many words, several at once."""
    word_configs(folder, out, config, settings)  # before anything heavy is imported
    with Console() as console:
        from pseudoword import api

        done = api.train_many(
            folder,
            out,
            pack=pack,
            config=config,
            restart=restart,
            allow_changes=allow_changes,
            overwrite=overwrite,
            progress=console,
            **settings,
        )
    say(f"ready in {out}: {counted(sum(len(one.words) for one in done), 'word')}")


@_command("Teach")
@settings_from(TrainConfig, without=("pictures", "token", "out"))
def submit(
    queue: QueueAddress,
    folder: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER",
            help="A folder of folders of pictures, or several; cat/ teaches <cat>.",
        ),
    ],
    *,
    config: ConfigFile = None,
    **settings: Any,
) -> None:
    """Put words into a queue, for workers on any number of machines."""
    for source in folder:
        word_configs(file_path(source), None, config, settings)
    with Console() as console:
        from pseudoword import api

        new = api.submit(queue, *folder, config=config, progress=console, **settings)
    say(f"submitted to {queue}: {counted(len(new), 'word')}")
    say(f"try: {command('pseudoword', 'work', queue)}")


@_command("Teach")
@settings_from(WorkConfig)
def work(queue: QueueAddress, **settings: Any) -> None:
    """Learn the words of a queue. Start one for each GPU, on any number of machines."""
    checked = WorkConfig.check(**settings)
    check_queue_there(queue)
    with Console() as console:
        from pseudoword import internals

        done = internals.work_through(queue, checked, console)
    say(f"learned {counted(len(done.learned), 'word')} here; {len(done.failed)} failed")


@_command("Teach")
def queue(
    queue: QueueAddress,
    *,
    retry: Annotated[
        list[str] | None,
        text_option(
            help="A word that failed or was cancelled, to be learned again; or all that failed. "
            "May be repeated."
        ),
    ] = None,
    cancel: Annotated[
        list[str] | None,
        text_option(help="A word that is not to be learned; or all. May be repeated."),
    ] = None,
    out: Annotated[
        Path | None, path_option(help="A folder that gets the words that are done.")
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Show each word; by default, a terminal shows those that run of many.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the words of a queue, and steer it."""
    check_queue_there(queue)
    with Console() as console:
        from pseudoword import api

        words = api.queue(queue, retry=retry or (), cancel=cancel or (), out=out, progress=console)
    _tell(words, as_json, lambda found: show_queue(found, queue, every=every))


@_command("Draw")
@settings_from(GenerateConfig)
def generate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to draw.")],
    *,
    concept: Concepts = None,
    out: Annotated[
        Path | None,
        path_option(
            help="The file to write; by default picture.png, or picture-2.png and so on.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    **settings: Any,
) -> None:
    """Draw pictures with new words in the prompt. They work in the negative prompt too."""
    checked = GenerateConfig.check(**settings)
    if out is not None:
        picture_format(out)
    check_there(checked, *concept or (), flag="--concept")
    if checked.lora:
        imports.keep("peft")
    with Console() as console:
        from pseudoword import internals

        for path in internals.draw_files(
            prompt, checked, concept or (), out, console, overwrite=overwrite
        ):
            say(path)


@_command("Teach")
@settings_from(PrepareConfig, argument="pictures")
def prepare(
    *,
    out: Annotated[
        Path | None,
        path_option(
            help="The contact sheet; by default contact-sheet.png or, where that shows something "
            "else, contact-sheet-2.png and so on.",
        ),
    ] = None,
    caption_model: Annotated[
        str | None,
        text_option(
            help="An image captioning model of transformers (folder or hub id); writes a .txt "
            "beside each picture that has none."
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    **settings: Any,
) -> None:
    """Show what the model will see of pictures, and suggest settings."""
    checked = PrepareConfig.check(**settings)
    if out is not None:
        picture_format(out)
    check_there(checked)
    if caption_model is not None:
        lookup.model_source(caption_model, "--caption-model")
    with Console() as console:
        from pseudoword import internals

        seen = internals.prepare_pictures(checked, out, caption_model, console, overwrite=overwrite)
    _tell(seen, as_json, show_prepared)


@_command("Look", "inspect")
def inspect_(
    file: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE", help="An embedding file, a run's folder, or a hub id; or several."
        ),
    ],
    base: Annotated[
        str | None, text_option(help="Compare with this base model's vocabulary.")
    ] = None,
    token: Annotated[str | None, text_option(help="Of several words, which one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what an embedding file holds. Also what it fits, and what other tools do with it."""
    check_there(BaseChoice() if base is None else BaseChoice.check(base=base), *file)
    from pseudoword import api

    seen = [api.inspect(one, base=base, token=token) for one in file]
    for part in [seen] if as_json and len(seen) > 1 else seen:
        _tell(part, as_json, show_inspection)


@_command("Share")
def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="An embedding file, a run's folder, or a hub id; FILE=TOKEN renames it.",
        ),
    ],
    out: Annotated[
        str,
        typer.Argument(
            parser=file_or_folder,
            metavar="OUT",
            help="The file to write, or a folder for every word.",
        ),
    ],
    format_: Annotated[
        str | None,
        text_option(
            "--format",
            help=f"One of {', '.join(ENDINGS)}; by default what OUT's ending says.",
        ),
    ] = None,
    token: Annotated[
        str | None, text_option(help="What to call the word; of several, which one.")
    ] = None,
    picture: Annotated[Path | None, path_option(help="What a format in a picture shows.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write an embedding in another tool's format. Every vector stays as it was."""
    embedding_format(Path(out), format_, picture, into_folder=is_folder(out))
    check_there(Settings(), source)
    with Console() as console:
        from pseudoword import api

        for path in api.convert(
            source, out, format=format_, token=token, picture=picture, overwrite=overwrite,
            progress=console,
        ):  # fmt: skip
            say(path)


@_command("Look")
def gallery(
    folder: Annotated[
        Path, typer.Argument(parser=file_path, metavar="DIR", help="A folder with embeddings.")
    ],
    out: Annotated[
        Path | None,
        path_option(help="The contact sheet; by default gallery.png in DIR."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """List the embeddings in a folder. Also draw them on one contact sheet."""
    lookup.check_there([folder], "Give a folder that holds embeddings.", ConceptError)
    if out is not None:
        picture_format(out)
    from pseudoword import api

    found = api.gallery(folder, out=out, overwrite=overwrite)
    _tell(found, as_json, show_gallery)


@_command("Measure")
@settings_from(EvaluateConfig)
def evaluate(
    concept: Annotated[
        str,
        typer.Argument(metavar="CONCEPT", help="An embedding file, a run's folder, or a hub id."),
    ],
    *,
    token: Annotated[str | None, text_option(help="Of several words, which one.")] = None,
    overwrite: Overwrite = False,
    **settings: Any,
) -> None:
    """Measure how similar a word's pictures are to true ones. Also how they follow the prompt."""
    checked = EvaluateConfig.check(**settings)
    check_there(checked, concept)
    with Console() as console:
        from pseudoword import internals

        found = internals.evaluate_word(concept, token, checked, console, overwrite=overwrite)
    show_evaluation(found)


@_command("Measure")
@settings_from(BenchConfig)
def bench(*, overwrite: Overwrite = False, **settings: Any) -> None:
    """Compare settings of train, on words whose right pictures are known."""
    checked = BenchConfig.check(**settings)
    check_there(checked)
    with Console() as console:
        from pseudoword import internals

        found = internals.compare(checked, console, overwrite=overwrite)
    say(found.table, lines=True)
    for path in found.files:
        say(path)


@_command("Share")
def push(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=file_path, metavar="DIR", help="A run's folder, or an embedding file."
        ),
    ],
    to: Annotated[str, text_option(help="The repository, for example your-name/my-cat.")],
    token: Annotated[
        str | None, text_option(help="What to call the word; of several, which one.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Only you can see it.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Publish a word on the Hugging Face hub, with a model card."""
    lookup.check_there([folder], "Give a run's folder, or an embedding file.", ConceptError)
    lookup.check_repository(to)
    from pseudoword import api

    done = api.push(folder, to, token=token, private=private, overwrite=overwrite)
    for name in done.files:
        say(name)
    say(done.url)


@_command("Teach")
@settings_from(PlanConfig)
def plan(*, as_json: AsJson = False, **settings: Any) -> None:
    """Say how much memory a base model needs.

    It is not loaded, and may be sd1, sd2 or sdxl; with `--device cuda` also on a GPU elsewhere.
    """
    checked = PlanConfig.check(**settings)
    check_there(checked)
    from pseudoword import internals

    found = internals.plan_memory(checked)
    _tell(found, as_json, show_plan)


@_command("Look")
def bases(as_json: AsJson = False) -> None:
    """List the base models that come with the package."""
    from pseudoword import api

    found = api.bases()
    _tell(found, as_json, show_bases)


@_command("Look")
def env(as_json: AsJson = False) -> None:
    """Say what there is on this machine. A report of a fault should have it."""
    from pseudoword import api

    found = api.env()
    _tell(found, as_json, show_environment)


@_command("Teach")
def demo(
    out: Annotated[Path, path_option(help="Where to write.")] = Path("demo"),
    restart: Restart = False,
    overwrite: Overwrite = False,
) -> None:
    """Learn a word that the bundled model has never seen. Show it before and after."""
    with Console() as console:
        from pseudoword import api

        done = api.demo(out, restart=restart, overwrite=overwrite, progress=console)
    for path in done.files:
        say(path)
    say(f"similarity before={done.before:.2f} after={done.after:.2f}")


def _tell(found: Any, as_json: bool, show: Callable[[Any], None]) -> None:
    """Print a result, or several, as JSON or as a table."""
    if as_json:
        values = (
            [one.model_dump(mode="json") for one in found]
            if isinstance(found, list)
            else found.model_dump(mode="json")
        )
        say(json_text(values), lines=True)
    else:
        show(found)


@_command("Teach")
def ui(
    host: Annotated[
        str, text_option(help="The address to answer at; others than this machine need a password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="<number>", help="The port.")] = (
        7860
    ),
    workspace: Annotated[
        Path, path_option(help="Folder for all that the page makes; made if it is not there.")
    ] = Path("pseudoword-page"),
    share: Annotated[
        bool, typer.Option("--share", help="Also get a public address, through Gradio's servers.")
    ] = False,
    password: Annotated[
        str | None,
        text_option(
            envvar="PSEUDOWORD_PASSWORD",
            help="Asked for before anything is shown; better given in the environment variable "
            "PSEUDOWORD_PASSWORD, where no list of processes shows it.",
        ),
    ] = None,
) -> None:
    """Open a page in the browser to teach words on, use them and keep them."""
    imports.keep("peft")  # any drawing may have LoRAs
    from pseudoword.ui import serve

    def ready(address: str) -> None:
        say(f"the page is at {address}")

    serve(workspace, host=host, port=port, share=share, password=password, ready=ready)


def main() -> None:
    """Entry point of the `pseudoword` command."""
    imports.spare()
    threads.keep_to_quota()
    threads.wait_briefly()
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # the CPU does what Metal cannot
    app()
