"""The size of pictures, and whether a model works with it."""

from pseudoword.errors import SettingsError


def picture_size(
    resolution: int | None,
    width: int | None = None,
    height: int | None = None,
    *,
    own: int,
    multiple_of: int,
    model: str = "this model",
) -> tuple[int, int]:
    """Width and height in pixels: a square of `resolution`, or the given sides.

    Args:
        resolution: the side of the square; by default the model's own.
        width: overrides `resolution`.
        height: overrides `resolution`.
        own: the side of the square that the model draws by default.
        multiple_of: what every side must be a multiple of.
        model: its name, for the error message.

    Raises:
        SettingsError: a side is not such a multiple.
    """
    for name, side in (("resolution", resolution), ("width", width), ("height", height)):
        if side is not None and side % multiple_of:
            near = max(multiple_of, round(side / multiple_of) * multiple_of)
            raise SettingsError(
                f"--{name} {side} does not work with {model}: it must be a multiple of "
                f"{multiple_of}. The nearest is {near}; the model's own resolution is {own}."
            )
    side = resolution or own
    return width or side, height or side
