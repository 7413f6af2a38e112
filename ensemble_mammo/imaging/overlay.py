"""Maps drawn over the original pixels, and the four views as radiologists hang them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ensemble_mammo.imaging.breast import Box
from ensemble_mammo.records.subject import View

RGB = NDArray[np.uint8]
"[H, W, 3], 0 to 255"

HANGING = ((View.CC_R, View.CC_L), (View.MLO_R, View.MLO_L))
"the right breast on the left, so that the breasts stand back to back"


@cache
def _colours(name: str) -> NDArray[np.float32]:
    """A colour map of matplotlib as a table `[256, 3]`."""
    from matplotlib import colormaps

    return np.asarray(colormaps[name](np.arange(256))[:, :3], np.float32)


def grey_rgb(pixels: NDArray[np.floating]) -> RGB:
    """Pixels `[H, W]` from 0 to 1 as a grey picture `[H, W, 3]`."""
    grey = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def overlay(
    pixels: NDArray[np.floating], map_: NDArray[np.floating], colours: str = "inferno", strength: float = 0.55
) -> RGB:
    """Lay a map over the original pixels: the higher its value, the more of its colour.

    Args:
        pixels: `[H, W]` from 0 to 1.
        map_: `[H, W]` from 0 to 1, of the same size (`Placement.to_source` makes it so); nan counts as 0.
        colours: name of one of matplotlib's colour maps.
        strength: share of colour where the map is 1, 0 to 1.

    Returns:
        `[H, W, 3]` uint8.
    """
    if pixels.shape != map_.shape:
        raise ValueError(
            f"the map is {map_.shape}, expected {pixels.shape} as the pixels; bring it to the source first"
        )
    values = np.clip(np.nan_to_num(map_), 0, 1).astype(np.float32)
    tint = _colours(colours)[np.rint(values * 255).astype(np.uint8)]
    share = (strength * values)[..., None]
    grey = np.clip(pixels, 0, 1).astype(np.float32)[..., None]
    return np.rint((grey * (1 - share) + tint * share) * 255).astype(np.uint8)


def contours(map_: NDArray[np.floating], levels: Sequence[float]) -> dict[float, list[NDArray[np.float64]]]:
    """Lines of equal value, taken on the map's values themselves.

    Args:
        map_: `[H, W]`; nan counts as 0.
        levels: the values wanted.

    Returns:
        For each level its polylines, each `[N, 2]` of (x, y) in pixels, pixel centres at whole numbers.
        Regions that touch the image's edge are closed along it.
    """
    from contourpy import contour_generator

    values = np.pad(np.nan_to_num(map_).astype(np.float64), 1, constant_values=min(0.0, float(np.nanmin(map_))) - 1e-9)
    generator = contour_generator(z=values)
    highest = np.array(map_.shape[::-1]) - 1
    return {
        float(level): [np.clip(np.asarray(line) - 1, 0, highest) for line in generator.lines(float(level))]
        for level in levels
    }


def draw_contours(
    picture: RGB,
    lines: Mapping[float, Sequence[NDArray[np.float64]]],
    colours: str = "inferno",
    width: int = 0,
) -> RGB:
    """Draw contours over a picture; higher levels are brighter.

    Args:
        picture: `[H, W, 3]`.
        lines: level -> polylines, as `contours` gives them.
        colours: name of one of matplotlib's colour maps.
        width: of the lines, in pixels; 0: a four-hundredth of the picture's height.
    """
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    thick = width or max(1, round(picture.shape[0] / 400))
    table = _colours(colours)
    for level, polylines in sorted(lines.items()):
        colour = tuple(int(part * 255) for part in table[int(np.clip(64 + 191 * level, 64, 255))])
        for line in polylines:
            if len(line) > 1:
                draw.line([(float(x), float(y)) for x, y in line], fill=colour, width=thick)
    return np.asarray(image).copy()


def draw_boxes(picture: RGB, boxes: Sequence[Box], texts: Sequence[str], colour: str = "#00e5ff") -> RGB:
    """Draw rectangles over a picture, a text above each (below where there is no room above).

    Args:
        picture: `[H, W, 3]`.
        boxes: in pixels of the picture; they may reach over its edge.
        texts: one a box, such as its score.
        colour: of lines and texts.
    """
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    thick = max(1, round(picture.shape[0] / 400))
    size = max(10, round(picture.shape[0] / 45))
    font = ImageFont.load_default(size=size)
    for box, text in zip(boxes, texts, strict=True):
        bottom, right = box.top + max(1, box.height) - 1, box.left + max(1, box.width) - 1
        draw.rectangle((box.left, box.top, right, bottom), outline=colour, width=thick)
        above = box.top - size - thick
        draw.text((max(0, box.left), above if above >= 0 else bottom + thick), text, fill=colour, font=font)
    return np.asarray(image).copy()


def sheet(
    panels: Mapping[View, RGB],
    titles: Mapping[View, str] | None = None,
    heading: str = "",
    panel_height: int = 900,
) -> RGB:
    """One picture of four views: R CC and L CC above, R MLO and L MLO below, right breasts on the left.

    Args:
        panels: the pictures, each `[H, W, 3]`; a view that is absent is said in words.
        titles: a line of text under a view's name, such as its class and score.
        heading: a line above all.
        panel_height: rows of each panel, in pixels.
    """
    scaled = {view: _scaled(panel, panel_height) for view, panel in panels.items()}
    panel_width = max([image.width for image in scaled.values()], default=panel_height * 2 // 3)
    band, gap = max(28, panel_height // 18), max(4, panel_height // 100)
    top = band + gap if heading else 0
    size = (2 * panel_width + 3 * gap, top + 2 * (panel_height + band + 2 * gap) + gap)
    page = Image.new("RGB", size, (18, 18, 18))
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=max(12, band * 5 // 9))
    draw.text((gap, gap), heading, fill=(235, 235, 235), font=font)
    for row, views in enumerate(HANGING):
        for column, view in enumerate(views):
            x = gap + column * (panel_width + gap)
            y = top + gap + row * (panel_height + band + 2 * gap)
            name = f"{view.side.letter} {view.projection.value}"
            draw.text((x, y), f"{name}  {(titles or {}).get(view, '')}".strip(), fill=(235, 235, 235), font=font)
            if view in scaled:  # against the middle of the page, where the chest walls meet
                spare = panel_width - scaled[view].width
                page.paste(scaled[view], (x + (spare if column == 0 else 0), y + band))
            else:
                draw.rectangle((x, y + band, x + panel_width - 1, y + band + panel_height - 1), outline=(90, 90, 90))
                middle = (x + panel_width // 2, y + band + panel_height // 2)
                draw.text(middle, f"{name}: no image", fill=(170, 170, 170), font=font, anchor="mm")
    return np.asarray(page).copy()


def _scaled(panel: RGB, height: int) -> Image.Image:
    """A picture at a height, its aspect kept."""
    width = max(1, round(panel.shape[1] * height / panel.shape[0]))
    return Image.fromarray(panel).resize((width, height), Image.Resampling.BILINEAR)
