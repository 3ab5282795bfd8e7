"""A self-contained HTML page about a learned word."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment
from PIL.Image import Image

from pseudoword.concept import Concept
from pseudoword.report.picture_output import encode_picture
from pseudoword.text import command, public_values, visible

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto;
         padding: 0 1rem; color: #222; background: #fafafa }
  h1, h2 { font-weight: 600 }
  img { max-width: 100%; background: white; border: 1px solid #ddd; border-radius: 6px }
  table { border-collapse: collapse }
  td { padding: .2rem 1.2rem .2rem 0; vertical-align: top; overflow-wrap: anywhere }
  td:first-child { color: #666 }
  code { background: #eee; padding: .1rem .3rem; border-radius: 4px }
</style>
<h1>{{ title }}</h1>
<table>{% for name, value in facts.items() %}<tr><td>{{ name }}<td>{{ value }}{% endfor %}</table>
{% for heading, picture in sections %}
<h2>{{ heading }}</h2>
<img alt="{{ heading }}" src="data:image/png;base64,{{ picture }}">
{% endfor %}
<h2>The word</h2>
{% if try_it -%}
<p>Put <code>{{ concept.token }}</code> into a prompt:
<code>{{ try_it }}</code></p>
{%- endif %}
<table>
{% for key, rows in concept.vectors.items() -%}
<tr><td>{{ key }}<td>{{ rows.shape[0] }} × {{ rows.shape[1] }}
{% endfor %}
{%- for name, value in concept.shared.items() -%}<tr><td>{{ name }}<td>{{ value }}{% endfor %}
</table>
</html>
"""


def page(
    *,
    title: str,
    concept: Concept,
    sections: Sequence[tuple[str, Image]],
    facts: Mapping[str, str],
    run: Path | None = None,
) -> bytes:
    """The page as one file, with the pictures inside it.

    Args:
        title: of the page.
        concept: the word.
        sections: headings and pictures.
        facts: names and values for a table.
        run: the folder of the word; the page then shows a command that draws with it.
    """
    page = Environment(autoescape=True, finalize=_shown).from_string(_PAGE)
    prompt = f"a photo of {concept.token}"
    return page.render(
        title=title,
        concept=concept,
        try_it=run and command("pseudoword", "generate", prompt, "--concept", run.name),
        facts=public_values(facts),
        sections=[
            (heading, base64.b64encode(encode_picture(picture, "PNG")).decode())
            for heading, picture in sections
        ],
    ).encode(errors="replace")


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) else value
