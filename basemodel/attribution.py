"""Who drew the artwork, and under which licence."""

from __future__ import annotations

from pathlib import Path

from basemodel.world import STYLES, Style

_STREAMLINE = "https://github.com/webalys-hq/streamline-vectors"
_TITLES = {
    "noto": ("Noto Emoji", "https://github.com/googlefonts/noto-emoji"),
    "noto-v1": ("Noto Emoji, first version", "https://github.com/googlefonts/noto-emoji"),
    "twemoji": ("Twemoji", "https://github.com/jdecked/twemoji"),
    "fluent-emoji": ("Fluent Emoji", "https://github.com/microsoft/fluentui-emoji"),
    "fluent-emoji-flat": ("Fluent Emoji, flat", "https://github.com/microsoft/fluentui-emoji"),
    "fxemoji": ("Firefox OS Emoji", "https://github.com/mozilla/fxemoji"),
    "emojione": ("EmojiOne 2 / Emojitwo", "https://github.com/EmojiTwo/emojitwo"),
    "streamline-emojis": ("Streamline Emojis", _STREAMLINE),
    "streamline-kameleon-color": ("Streamline Kameleon, colour", _STREAMLINE),
    "streamline-ultimate-color": ("Streamline Ultimate, colour", _STREAMLINE),
    "streamline-stickies-color": ("Streamline Stickies, colour", _STREAMLINE),
    "flat-color-icons": ("Flat Color Icons", "https://github.com/icons8/flat-Color-icons"),
    "openclipart-svg": ("Open Clip Art Library", "https://openclipart.org"),
    "fluent-emoji-high-contrast": (
        "Fluent Emoji, high contrast",
        "https://github.com/microsoft/fluentui-emoji",
    ),
    "game-icons": ("Game-icons.net", "https://github.com/game-icons/icons"),
    "streamline-flex-color": ("Streamline Flex, colour", _STREAMLINE),
    "streamline-freehand-color": ("Streamline Freehand, colour", _STREAMLINE),
    "streamline-plump-color": ("Streamline Plump, colour", _STREAMLINE),
    "streamline-cyber-color": ("Streamline Cyber, colour", _STREAMLINE),
    "fluent-color": (
        "Fluent UI System Color Icons",
        "https://github.com/microsoft/fluentui-system-icons",
    ),
    "meteocons": ("Meteocons", "https://github.com/basmilius/weather-icons"),
}
_LICENCES = {
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "MIT": "https://opensource.org/license/mit",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "public domain": "https://creativecommons.org/publicdomain/mark/1.0/",
}
EMOJI = tuple(style for style in STYLES if not style.extra)
"""The sets of the demo, the benchmark and the similarity model."""


def _package(style: Style) -> str:
    package = f"@iconify-json/{style.package}"
    if style.package == "openclipart-svg":
        package = f"Debian's {style.package}"
    return f"`{package}` {style.version}"


def attribution_table(sets: tuple[Style, ...] = EMOJI) -> str:
    """A Markdown table with one row for each set."""
    lines = [
        "| word in prompts | set | author | licence | package, version |",
        "|---|---|---|---|---|",
    ]
    for style in sets:
        title, home = _TITLES[style.package]
        word = style.word or "(none)"
        held = " (held out; seen by the similarity model only)" if style.held_out else ""
        lines.append(
            f"| {word}{held} | [{title}]({home}) | {style.author} "
            f"| [{style.licence}]({_LICENCES[style.licence]}) | {_package(style)} |"
        )
    return "\n".join(lines)


def write_attribution(path: Path, sets: tuple[Style, ...] = EMOJI) -> None:
    """Write ATTRIBUTION.md for weights or pictures made from the artwork of these sets."""
    credit = ""
    if any(style.package == "game-icons" for style in sets):
        credit = (
            "\nIcons of game-icons.net are by Lorc, Delapouite and the contributors that\n"
            "https://github.com/game-icons/icons/blob/master/license.txt names, used under\n"
            "CC BY 3.0, changed as just described. Each drawing of the Open Clip Art Library was\n"
            "given to the public domain by its author.\n"
        )
    path.write_text(
        "# Attribution\n\n"
        "Made from these sets, taken as SVG from the packages named.\n\n"
        f"{attribution_table(sets)}\n\n"
        "The drawings were rendered to pixels, cropped, resized and placed on coloured or\n"
        "patterned backgrounds; the models were trained on those compositions. Graphics of\n"
        "Twemoji are © Twitter, Inc. and other contributors, graphics of EmojiOne 2 are ©\n"
        "Emoji One; both are used under CC BY 4.0, changed as just described. No author of any\n"
        "set endorses this project.\n" + credit,
        encoding="utf-8",
    )
