"""A plain picture with a concept's token on it, for concepts that come without a preview."""

from PIL import Image, ImageDraw, ImageFont

from pseudoword.concept import Concept

PICTURE_PX = 512


def token_picture(concept: Concept) -> Image.Image:
    """A plain picture with the token and the shapes of the rows, for concepts without a preview."""
    sheet = Image.new("RGB", (PICTURE_PX, PICTURE_PX), (244, 241, 234))
    pen = ImageDraw.Draw(sheet)
    shapes = [f"{key}: {n} x {width}" for key, (n, width) in concept.sizes.items()]
    size = 64
    while size > 12 and pen.textlength(concept.token, ImageFont.load_default(size)) > 440:
        size -= 4
    middle = PICTURE_PX / 2
    pen.text((middle, 220), concept.token, (40, 40, 40), ImageFont.load_default(size), anchor="mm")
    for i, line in enumerate(shapes[:6]):
        font = ImageFont.load_default(20)
        pen.text((middle, 300 + 28 * i), line, (90, 90, 90), font, anchor="mm")
    return sheet
