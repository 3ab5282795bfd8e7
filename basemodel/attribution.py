"""Who drew the artwork, under which licence."""

from __future__ import annotations

from pathlib import Path

from basemodel.world import STYLES

_TITLES = {
    "noto": ("Noto Emoji", "https://github.com/googlefonts/noto-emoji"),
    "noto-v1": ("Noto Emoji, first version", "https://github.com/googlefonts/noto-emoji"),
    "twemoji": ("Twemoji", "https://github.com/jdecked/twemoji"),
    "fluent-emoji": ("Fluent Emoji", "https://github.com/microsoft/fluentui-emoji"),
    "fluent-emoji-flat": ("Fluent Emoji, flat", "https://github.com/microsoft/fluentui-emoji"),
    "fxemoji": ("Firefox OS Emoji", "https://github.com/mozilla/fxemoji"),
    "emojione": ("EmojiOne 2 / Emojitwo", "https://github.com/EmojiTwo/emojitwo"),
}
_LICENCES = {
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "MIT": "https://opensource.org/license/mit",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
}


def attribution_table() -> str:
    """One row per set, as Markdown."""
    lines = [
        "| word in prompts | set | author | licence | package, version |",
        "|---|---|---|---|---|",
    ]
    for style in STYLES:
        title, home = _TITLES[style.package]
        held = " (held out of training; judge only)" if style.held_out else ""
        lines.append(
            f"| {style.word}{held} | [{title}]({home}) | {style.author} "
            f"| [{style.licence}]({_LICENCES[style.licence]}) "
            f"| `@iconify-json/{style.package}` {style.version} |"
        )
    return "\n".join(lines)


def write_attribution(path: Path) -> None:
    """ATTRIBUTION.md, for a folder of weights or pictures made from the artwork."""
    path.write_text(
        "# Attribution\n\n"
        "Made from these emoji sets, taken as SVG from the Iconify packages named.\n\n"
        f"{attribution_table()}\n\n"
        "The drawings were rendered to pixels, cropped, resized and placed on coloured or\n"
        "patterned backgrounds; the models were trained on those compositions. Graphics of\n"
        "Twemoji are © Twitter, Inc. and other contributors, graphics of EmojiOne 2 are ©\n"
        "Emoji One; both are used under CC BY 4.0, changed as just described. No author of any\n"
        "set endorses this project.\n",
        encoding="utf-8",
    )
