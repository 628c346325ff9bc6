"""A page with a slider over the dates of a run: one file that any browser opens, without a network."""

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import OutputError
from sitsinfer.layers import Layer
from sitsinfer.products.dated import Published
from sitsinfer.products.whole import whole_file

SUFFIXES = (".html", ".htm")
"""What the name of a page ends in."""
PIXELS = 800
"""Height or width of a frame, whichever is larger, at most."""
SAMPLE_PIXELS = 128
"""The same, of what the stretch is measured on."""
PERCENTILES = (2.0, 98.0)
"""Shares of all dates' pixels that are drawn black and full."""
QUALITY = 85
"""Of WebP, 0 to 100."""
LOSSLESS_PIXELS = 2**16
"""Frames up to this size are drawn exactly: where single pixels are seen, colours must not run."""
TRUE_COLOR = ("B04", "B03", "B02")
"""Red, green and blue, for Sentinel-2 as for Landsat 8 and 9."""
TITLES: Mapping[str, str] = {"sentinel2": "Sentinel-2", "landsat": "Landsat"}
"""What people call the layers."""

_TAG = re.compile(r'<meta name="sitsinfer:([^"]+)" content="([^"]*)">')
_HEAD_BYTES = 2**16
_TAIL_BYTES = 2**4


def write_animation(
    path: Path, published: Sequence[Published], title: str, tags: Mapping[str, str] | None = None
) -> None:
    """Draw published dates as one HTML page: a frame a date and layer, a slider, and a way to play them.

    Frames are in true colour; of layers without these bands, the first three, or the first in grey. All dates of a
    layer are stretched alike, so that what changes on the page changed on the ground. Pixels without a value are
    transparent. One date is in memory at a time.

    Args:
        path: The page to write or to replace.
        published: The dates, as :func:`~sitsinfer.products.dated.read_back` gives them; each layer's ascending.
        title: What stands above them.
        tags: What to note in the page about its making.

    Raises:
        OutputError: If there is no date, or one cannot be read, or the page not be written.
    """
    if not published:
        raise OutputError(f"There is no date to show in {path}. Publish one or more first.")
    looks = {name: _Look.of([one for one in published if one.name == name]) for name in _names(published)}
    before, after = _page(title, tags or {})
    with whole_file(path) as draft, draft.open("w", encoding="utf-8") as page:
        page.write(before)
        for number, one in enumerate(published):
            page.write(_image(one, looks[one.name], is_first=number == 0))
        page.write(after)


def check_name(path: Path) -> None:
    """See that a page is named as one.

    Raises:
        OutputError: If it is not.
    """
    if path.suffix.lower() not in SUFFIXES:
        ending = f"ends in '{path.suffix}'" if path.suffix else "has no ending"
        raise OutputError(
            f"{path} {ending}, but an animation is an HTML page. Expected a name ending in .html or .htm."
        )


def read_tags(path: Path) -> dict[str, str]:
    """Read the tags of a page that :func:`write_animation` wrote; none if it is missing, another, or ends early."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES).decode("utf-8", errors="replace")
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            is_whole = file.read().rstrip().endswith(b"</html>")
    except OSError:
        return {}
    if not is_whole:
        return {}
    return {html.unescape(key): html.unescape(value) for key, value in _TAG.findall(head)}


def _names(published: Sequence[Published]) -> list[str]:
    return list(dict.fromkeys(one.name for one in published))


def _page(title: str, tags: Mapping[str, str]) -> tuple[str, str]:
    """The page up to its frames, and from there on."""
    template = resources.files("sitsinfer.products").joinpath("animation.html").read_text(encoding="utf-8")
    lines = (
        f'<meta name="sitsinfer:{html.escape(key)}" content="{html.escape(value)}">' for key, value in tags.items()
    )
    page = template.replace("<!--tags-->", "\n".join(lines)).replace("<!--title-->", html.escape(title))
    before, after = page.split("<!--frames-->\n")
    return before, after


@dataclass(frozen=True)
class _Look:
    """How the dates of a layer are drawn.

    Attributes:
        bands: One band, for grey, or three.
        low, high: The stored values that are drawn black and full, one a band.
        caption: What is told of it.
    """

    bands: tuple[str, ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    caption: str

    @classmethod
    def of(cls, published: Sequence[Published]) -> Self:
        """Choose bands, and measure the stretch over all dates."""
        with published[0].open() as source:
            layer = source.layer
        bands = _drawn_bands(layer)
        samples = np.concatenate([_sample(one, bands) for one in published], axis=1)
        if samples.size:
            low, high = np.percentile(samples, PERCENTILES, axis=1)
        else:
            low, high = np.zeros(len(bands)), np.ones(len(bands))
        return cls(bands, low, np.maximum(high, low + 1), _caption(layer, bands, low, high))

    def draw(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Colours of stored values (bands, h, w), (h, w, 4)."""
        low, high = self.low[:, None, None], self.high[:, None, None]
        shares = np.clip((values - low) / (high - low), 0, 1)
        picture = np.empty((*valid.shape, 4), np.uint8)
        picture[..., :3] = np.moveaxis(np.rint(255 * shares), 0, -1)
        picture[..., 3] = np.where(valid, 255, 0)
        return picture


def _drawn_bands(layer: Layer) -> tuple[str, ...]:
    """Red, green and blue where the layer has them."""
    if set(TRUE_COLOR) <= set(layer.bands):
        return TRUE_COLOR
    return layer.bands[:3] if len(layer.bands) >= 3 else layer.bands[:1]


def _sample(one: Published, bands: tuple[str, ...]) -> NDArray[Any]:
    """Valid values of a date, (bands, pixels)."""
    with one.open() as source:
        values, valid = source.thumbnail(SAMPLE_PIXELS, bands)
    return values[:, valid]


def _caption(layer: Layer, bands: tuple[str, ...], low: NDArray[np.float64], high: NDArray[np.float64]) -> str:
    """Bands and the range that each is stretched over, in its unit."""
    told = []
    for band, least, most in zip(bands, low, high, strict=True):
        index = layer.bands.index(band)
        scale, unit = layer.band_scales[index], layer.band_units[index]
        told.append(f"{band} {least * scale:.3g} to {most * scale:.3g}{unit and ' '}{unit}")
    return ", ".join(told)


def _image(one: Published, look: _Look, *, is_first: bool) -> str:
    """A date as an HTML element."""
    from PIL import Image

    with one.open() as source:
        values, valid = source.thumbnail(PIXELS, look.bands)
    buffer = io.BytesIO()
    picture = Image.fromarray(look.draw(values, valid))
    picture.save(buffer, "WEBP", quality=QUALITY, lossless=valid.size <= LOSSLESS_PIXELS)
    label = TITLES.get(one.name, one.name)
    attributes = {
        "alt": f"{label}, {one.date}",
        "data-sensor": one.name,
        "data-label": label,
        "data-date": str(one.date),
        "data-caption": f"{label}: {look.caption}",
        "style": f"--ratio: {valid.shape[1] / valid.shape[0]:.4f}",
        "src": f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}",
    }
    text = " ".join(f'{key}="{html.escape(value)}"' for key, value in attributes.items())
    return f"<img {text}{'' if is_first else ' hidden'}>\n"
