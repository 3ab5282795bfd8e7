"""What is seen in the browser: controls, their events, and the server that gives them out."""

from pseudoword.imports import import_gradio

import_gradio()  # before a file here does, whoever imports that
