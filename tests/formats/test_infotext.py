"""The settings of a picture are read back from the text that it carries."""

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pseudoword.errors import PictureError
from pseudoword.formats.infotext import KEYWORD, LONGEST, infotext, parse, png_text, read_infotext

AUTOMATIC1111 = """a photo of <cat>, (masterpiece:1.2)
on a beach
Negative prompt: EasyNegative, blurry
Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 965400086, Size: 512x768, \
Model hash: 6ce0161689, Model: v1-5-pruned, TI hashes: "EasyNegative: c74b4e810b03, cat: 11", \
Version: v1.6.0"""
"""As its "PNG info" shows it."""


def file(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind, **options)
    return buffer.getvalue()


def test_the_text_of_automatic1111_is_taken_apart() -> None:
    found = parse(AUTOMATIC1111.replace("\\\n", ""))
    assert found.prompt == "a photo of <cat>, (masterpiece:1.2)\non a beach"
    assert found.negative == "EasyNegative, blurry"
    assert found.values["Sampler"] == "DPM++ 2M Karras"
    assert found.values["Size"] == "512x768"
    assert found.values["TI hashes"] == "EasyNegative: c74b4e810b03, cat: 11"
    assert found.values["Version"] == "v1.6.0"
    assert parse("a cat\nNegative prompt:blurry\nSteps: 3").negative == "blurry"


@settings(max_examples=30)
@given(
    prompt=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1),
    negative=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"])),
    model=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1),
)
def test_what_is_written_is_read_back(prompt: str, negative: str, model: str) -> None:
    picture = Image.new("RGB", (8, 8))
    values = {"Steps": 25, "CFG scale": 7.5, "Model": f"a {model}, b: c"}
    picture.info[KEYWORD] = infotext(prompt, negative, values)
    found = read_infotext(file("PNG", pnginfo=png_text(picture)), "x.png")
    assert (found.prompt, found.negative) == (prompt, negative)
    assert found.values == {name: str(value) for name, value in values.items()}


def test_a_prompt_alone_is_a_prompt() -> None:
    found = parse("a cat, time: night")
    assert (found.prompt, found.negative, found.values) == ("a cat, time: night", "", {})


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_in_a_jpeg_or_webp_it_stands_in_its_exif(kind: str) -> None:
    exif = Image.Exif()
    comment = b"UNICODE\0" + "a 猫\nSteps: 3, Seed: 1".encode("utf-16-be")
    exif.get_ifd(0x8769)[0x9286] = comment
    found = read_infotext(file(kind, exif=exif), "x")
    assert (found.prompt, found.values) == ("a 猫", {"Steps": "3", "Seed": "1"})


def test_long_text_is_cut_and_never_takes_for_ever() -> None:
    chunks = PngInfo()
    chunks.add_text(KEYWORD, "a" * 900_000)
    assert len(read_infotext(file("PNG", pnginfo=chunks), "x").prompt) == LONGEST
    for text in ("a " * 50_000, 'a:"' * 30_000, '"\\' * 50_000, "a:" * 50_000, "\n" * 99_999 + "x"):
        assert parse(text).prompt


@pytest.mark.parametrize("data", [b"", b"rubbish", file("BMP"), file("GIF"), file("PNG")])
def test_what_does_not_say_is_told_by_its_name(data: bytes) -> None:
    with pytest.raises(PictureError, match=r"^picture\.png "):
        read_infotext(data, "picture.png")
