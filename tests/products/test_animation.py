import base64
import io
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from sitsinfer.errors import OutputError
from sitsinfer.products import animation, dated
from sitsinfer.products.animation import read_tags, write_animation
from tests.products.conftest import DATES

TAGS = {"FINGERPRINT": '{"inputs": "<a> & \'b\'"}'}


@pytest.fixture
def published(dated_source, tmp_path):
    """Publishes layers of these bands, and finds them again."""

    def publish(out: str = "l3a.zarr", **bands: tuple[str, ...]):
        sources = [dated_source(name, bands=chosen) for name, chosen in bands.items()]
        dated.write(tmp_path / out, "L3A", sources, {})
        return dated.read_back(dated.outputs_of(tmp_path / out, "L3A", [source.layer for source in sources]))

    return publish


def frames_of(page) -> list[tuple[str, np.ndarray]]:
    """Each frame's element, without its picture, and the picture, (h, w, 4)."""
    found = []
    for element in re.findall(r"<img [^>]*>", page.read_text(encoding="utf-8")):
        head, data = re.fullmatch(r'(.*)src="data:image/webp;base64,([^"]*)"(?: hidden)?>', element).groups()
        picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
        found.append((head, np.asarray(picture)))
    return found


@pytest.mark.parametrize("out", ["l3a", "l3a.nc", "l3a.zarr"])
def test_page_has_a_frame_for_each_date_and_sensor(out, published, tmp_path):
    dates = published(out, sentinel2=("B02", "B03", "B04"), landsat=("B02", "B03", "B04", "LST"))
    write_animation(tmp_path / "a.html", dates, "L3A")
    frames = frames_of(tmp_path / "a.html")
    assert [re.search(r'data-date="([^"]*)"', head)[1] for head, _ in frames] == [str(date) for date in DATES] * 2
    assert [re.search(r'data-sensor="([^"]*)"', head)[1] for head, _ in frames] == ["sentinel2"] * 3 + ["landsat"] * 3
    assert (tmp_path / "a.html").read_text(encoding="utf-8").count(" hidden>\n") == 5, "all but the first"


def test_red_is_first_and_nodata_is_transparent(dated_source, tmp_path):
    source = dated_source("sentinel2", bands=("B02", "B03", "B04"))
    source.values[:, :, 30:] = np.array([100, 100, 3000] * 3, np.int16)[:, None, None]
    source.values[:, :, :30] = np.array([100, 3000, 100] * 3, np.int16)[:, None, None]
    source.values[:, :7, :9] = -10000
    dated.write(tmp_path / "l3a.nc", "L3A", [source], {})
    write_animation(tmp_path / "a.html", dated.read_back([tmp_path / "l3a.nc"]), "L3A")
    _, picture = frames_of(tmp_path / "a.html")[0]
    assert picture.shape == (37, 61, 4)
    np.testing.assert_array_equal(picture[20, 40], [255, 0, 0, 255])
    np.testing.assert_array_equal(picture[20, 20], [0, 255, 0, 255])
    assert (picture[:7, :9, 3] == 0).all()
    assert picture[7:, :, 3].min() == picture[:, 9:, 3].min() == 255


def test_all_dates_are_stretched_alike(published, tmp_path):
    write_animation(tmp_path / "a.html", published(sentinel2=("B02", "B03", "B04")), "L3A")
    first, second, third = (picture[20, 30, :3].astype(int) for _, picture in frames_of(tmp_path / "a.html"))
    assert (first < second).all(), "40 more in the layer, on each date"
    assert (second < third).all()
    assert (abs((third - second) - (second - first)) <= 1).all()


@pytest.mark.parametrize(
    ("bands", "drawn"),
    [
        (("B08", "B04", "B03", "B02"), ["B04", "B03", "B02"]),
        (("B08", "B11", "B12", "B02"), ["B08", "B11", "B12"]),
        (("B8A", "B11"), ["B8A"]),
        (("LST",), ["LST"]),
    ],
)
def test_bands_drawn_are_told(bands, drawn, published, tmp_path):
    write_animation(tmp_path / "a.html", published(landsat=bands), "L3A")
    for head, _ in frames_of(tmp_path / "a.html"):
        caption = re.search(r'data-caption="Landsat: ([^"]*)"', head)[1]
        assert [part.split()[0] for part in caption.split(", ")] == drawn


def test_range_drawn_is_told_with_its_unit(published, tmp_path):
    write_animation(tmp_path / "a.html", published(landsat=("LST",)), "L3A")
    assert 'data-caption="Landsat: LST 272 to 286 K"' in frames_of(tmp_path / "a.html")[0][0]


def test_large_layers_are_drawn_small(published, tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "PIXELS", 21)
    write_animation(tmp_path / "a.html", published(sentinel2=("B02", "B03", "B04")), "L3A")
    for _, picture in frames_of(tmp_path / "a.html"):
        assert picture.shape[:2] == (13, 21)


def test_page_needs_nothing_from_elsewhere(published, tmp_path):
    write_animation(tmp_path / "a.html", published(landsat=("B02", "B03", "B04")), "L3A", TAGS)
    page = re.sub(r"base64,[^\"]*", "", (tmp_path / "a.html").read_text(encoding="utf-8"))
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<link|src=\"(?!data:)", page)
    assert "default-src 'none'" in page


def test_title_and_tags_are_text(published, tmp_path):
    write_animation(tmp_path / "a.html", published(landsat=("LST",)), "<script>alert(1)</script>", TAGS)
    assert "<script>alert" not in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert read_tags(tmp_path / "a.html") == TAGS


def test_other_files_have_no_tags(tmp_path):
    (tmp_path / "other.html").write_text("<html><meta name='sitsinfer' content='x'></html>")
    (tmp_path / "folder.html").mkdir()
    for name in ("other.html", "folder.html", "missing.html"):
        assert read_tags(tmp_path / name) == {}, name


def test_a_page_that_ends_early_has_no_tags(published, tmp_path):
    page = tmp_path / "a.html"
    write_animation(page, published(landsat=("LST",)), "L3A", TAGS)
    content = page.read_bytes()
    for length in (0, 5, len(content) // 2, len(content) - 9):
        page.write_bytes(content[:length])
        assert read_tags(page) == {}, length


def test_layer_without_a_value_is_drawn_empty(dated_source, tmp_path):
    source = dated_source()
    source.values[:] = -10000
    dated.write(tmp_path / "l3a.zarr", "L3A", [source], {})
    write_animation(tmp_path / "a.html", dated.read_back([tmp_path / "l3a.zarr"]), "L3A")
    assert all((picture[..., 3] == 0).all() for _, picture in frames_of(tmp_path / "a.html"))


def test_nothing_to_show_is_an_error(tmp_path):
    with pytest.raises(OutputError, match=r"There is no date to show"):
        write_animation(tmp_path / "a.html", [], "L3A")


@pytest.fixture
def screenshot(tmp_path):
    """What a browser shows of a page, (h, w, 3)."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser = next((path for name in names if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium to open the page in")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=700,560"]

    def shoot(address: str) -> np.ndarray:
        target = tmp_path / "shot.png"
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        last = ["--virtual-time-budget=2000", f"--screenshot={target}", address]
        subprocess.run([browser, *options, profile, *last], check=True, capture_output=True, timeout=60)
        with Image.open(target) as picture:
            return np.asarray(picture.convert("RGB"))

    return shoot


@pytest.fixture
def colored_page(dated_source, tmp_path):
    """A page whose every frame has a colour of its own: red, green and blue; yellow, cyan and black."""
    colors = {
        "sentinel2": [(250, 0, 0), (0, 250, 0), (0, 0, 250)],
        "landsat": [(250, 250, 0), (0, 250, 250), (0, 0, 0)],
    }
    sources = []
    for name, of_dates in colors.items():
        source = dated_source(name, bands=("B04", "B03", "B02"))
        source.values[:] = 10 * np.array(of_dates, np.int16).reshape(-1, 1, 1)
        sources.append(source)
    dated.write(tmp_path / "l3a.zarr", "L3A", sources, {})
    write_animation(tmp_path / "a.html", dated.read_back([tmp_path / "l3a.zarr"]), "L3A")
    return tmp_path / "a.html"


def color_of(shot: np.ndarray) -> list[int]:
    height, width, _ = shot.shape
    return shot[height // 2 - 20, width // 2].tolist()


@pytest.mark.parametrize(
    ("place", "color"),
    [("", [255, 0, 0]), ("#2022-05-19", [0, 0, 255]), ("#2022-01-09/landsat", [0, 255, 255]), ("#x/y", [255, 0, 0])],
)
def test_browser_shows_the_date_that_the_address_names(place, color, colored_page, screenshot):
    assert color_of(screenshot(colored_page.as_uri() + place)) == color


KEY = 'document.body.dispatchEvent(new KeyboardEvent("keydown", {{ key: "{}", bubbles: true }}))'


@pytest.mark.parametrize(
    ("action", "color"),
    [
        ('slider.value = 2; slider.dispatchEvent(new Event("input"))', [0, 0, 255]),
        (KEY.format("ArrowRight"), [0, 255, 0]),
        (KEY.format("ArrowLeft"), [0, 0, 255]),
        ('sensor.value = "landsat"; sensor.dispatchEvent(new Event("change"))', [255, 255, 0]),
        ("play.click(); play.click(); step(1)", [0, 255, 0]),
    ],
)
def test_slider_keys_and_sensor_move_the_picture(action, color, colored_page, screenshot):
    page = colored_page.read_text(encoding="utf-8")
    colored_page.write_text(page.replace("</body>", f"<script>{action}</script></body>"), encoding="utf-8")
    assert color_of(screenshot(colored_page.as_uri())) == color


@pytest.mark.parametrize(
    ("name", "told"), [("a.tif", "a.tif ends in '.tif', but"), ("page", "page has no ending, but")]
)
def test_page_is_named_as_one(name, told, tmp_path):
    with pytest.raises(OutputError, match=rf"{told} an animation is an HTML page\. Expected a name ending in \.html"):
        animation.check_name(tmp_path / name)
    animation.check_name(tmp_path / "a.HTML")
    animation.check_name(tmp_path / "a.htm")
