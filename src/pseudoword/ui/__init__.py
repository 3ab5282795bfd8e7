"""The page in the browser, and the workspace behind it. Imports the API and the settings only."""

from collections.abc import Callable
from pathlib import Path

from pseudoword.errors import SettingsError
from pseudoword.imports import import_gradio


def serve(
    folder: Path,
    *,
    host: str,
    port: int,
    share: bool,
    password: str | None,
    ready: Callable[[str], None],
) -> None:
    """Give the page out until Ctrl-C; see `pseudoword.ui.page.app.serve`.

    Raises:
        SettingsError: Gradio is not installed, the page would be open to others without a
            password, or the port is taken.
    """
    try:
        import_gradio()
    except ImportError as error:
        raise SettingsError('the page needs gradio: pip install "pseudoword[ui]"') from error
    from pseudoword.ui.page import app

    app.serve(folder, host=host, port=port, share=share, password=password, ready=ready)
