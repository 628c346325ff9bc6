"""What names and tags of files say: dates, bands, sensors, processing. Pure text."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import PurePath
from typing import Literal

MaskKind = Literal["mask", "scl"]
"""What the values of a mask mean: 0 is clear and all else is not, or scene classes of Sentinel-2."""

FIRST_YEAR, LAST_YEAR = 1972, 2100  # Landsat 1 was the first

_DAY = re.compile(r"(?<!\d)(\d{4})([-_.]?)(\d{2})\2(\d{2})(?:\d{6})?(?!\d)")
_DAY_OF_YEAR = re.compile(r"(?<!\d)(\d{4})(\d{3})(?!\d)")

ACQUISITION_TAGS = (
    "ACQUISITION",
    "ACQUISITION_DATE",
    "ACQUISITION_DATETIME",
    "ACQUISITION_TIME",
    "ACQUISITIONDATETIME",
    "DATATAKE_1_DATATAKE_SENSING_START",
    "SENSING_START",
    "SENSING_TIME",
    "SENSING_DATE",
    "DATE_ACQUIRED",
    "PRODUCT_START_TIME",
    "DATETIME",
    "DATE",
)
"""Tags that say when the ground was seen, in upper case."""

WRITTEN_TAG = "TIFFTAG_DATETIME"
"""When a TIFF was written, by its standard, and therefore asked last; some tools put the acquisition there."""

PROCESSING_TAGS = ("PROCESSING_TIME", "PROCESSING_DATE", "PRODUCTION_DATE", "GENERATION_TIME", "DATE_PRODUCT_GENERATED")


def first_date(text: str) -> date | None:
    """The first date in a name: YYYYMMDD, YYYY-MM-DD, or YYYYDDD if nothing else could be meant.

    Product names of Sentinel-2 and Landsat give the acquisition first and the processing later.
    """
    return next(iter(_dates(text)), None) or _day_of_year(text)


def _dates(text: str) -> list[date]:
    found = []
    for year, _, month, day in _DAY.findall(text):
        if FIRST_YEAR <= int(year) <= LAST_YEAR:
            try:
                found.append(date(int(year), int(month), int(day)))
            except ValueError:  # digits that are no date, such as a tile number
                continue
    return found


def _day_of_year(text: str) -> date | None:
    """The one run of seven digits that reads as a year and a day of it; None if there are several."""
    runs = [
        (int(year), int(day))
        for year, day in _DAY_OF_YEAR.findall(text)
        if FIRST_YEAR <= int(year) <= LAST_YEAR and 1 <= int(day) <= 366
    ]
    if len(runs) != 1:
        return None
    year, day = runs[0]
    found = date(year, 1, 1) + timedelta(days=day - 1)
    return found if found.year == year else None


def date_in_path(path: PurePath) -> date | None:
    """The date in the name of a file, else in that of the closest folder; the path is relative to the series."""
    return next((found for part in (path.stem, *reversed(path.parent.parts)) if (found := first_date(part))), None)


def date_in_tags(tags: Mapping[str, str]) -> date | None:
    """When the ground was seen, as metadata say it."""
    upper = {key.upper(): value for key, value in tags.items()}
    return next((found for tag in ACQUISITION_TAGS if (found := first_date(upper.get(tag, "")))), None)


def written_date(tags: Mapping[str, str]) -> date | None:
    """The date of ``TIFFTAG_DATETIME``, written ``2022:04:13 10:53:28``."""
    return first_date(tags.get(WRITTEN_TAG, "").replace(":", "-"))


@dataclass(frozen=True)
class Sensor:
    """A sensor that names and tags are recognised by.

    Attributes:
        name: How the project calls it.
        pattern: What its names look like, in lower case.
        scale: Reflectance of one digital number, where integers are stored and metadata say nothing.
        orders: The order of bands in files that do not name them, for each number of bands.
        thermal: Which of its bands hold no reflectance but temperature.
    """

    name: str
    pattern: re.Pattern[str]
    scale: float
    orders: Mapping[int, tuple[str, ...]]
    thermal: tuple[str, ...] = ()


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z0-9])(?:{text})(?![a-z0-9])")


_S2_ALL = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_S2_LAND = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
_OLI = tuple(f"B{number:02d}" for number in range(1, 8))
_TM = ("B01", "B02", "B03", "B04", "B05", "B07")
_TIRS = ("B10", "B11")

SENSORS = (
    Sensor(
        "sentinel-2",
        _pattern(r"s2|s2[abcd]|sentinel[-_ ]?2[abcd]?|hls[._-]s30"),
        1e-4,
        {10: _S2_LAND, 12: tuple(band for band in _S2_ALL if band != "B10"), 13: _S2_ALL},
    ),
    # Landsat 8 and 9 carry the same instrument and count as one sensor.
    Sensor(
        "landsat-8",
        _pattern(r"l[89]|l[cot]0?[89]|landsat[-_ ]?0?[89]|hls[._-]l30"),
        1e-4,
        {7: _OLI, 6: _OLI[1:]},
        _TIRS,
    ),
    Sensor("landsat-7", _pattern(r"l7|le0?7|landsat[-_ ]?0?7"), 1e-4, {6: _TM}, ("B06",)),
    Sensor("landsat-5", _pattern(r"l5|lt0?5|landsat[-_ ]?0?5"), 1e-4, {6: _TM}, ("B06",)),
    Sensor("sentinel-1", _pattern(r"s1|s1[abc]|sentinel[-_ ]?1[abc]?"), 1.0, {2: ("VV", "VH")}),
)
UNKNOWN = Sensor("unknown", _pattern("(?!)"), 1.0, {}, _TIRS)

SENSOR_TAGS = ("SENSOR", "PLATFORM", "SATELLITE", "SPACECRAFT", "SPACECRAFT_NAME", "SPACECRAFT_ID", "CONSTELLATION")


def sensor_in(text: str) -> Sensor | None:
    """The sensor that a name speaks of."""
    plain = text.lower().replace("_", " ")
    return next((sensor for sensor in SENSORS if sensor.pattern.search(plain)), None)


def sensor_in_tags(tags: Mapping[str, str]) -> Sensor | None:
    """The sensor that metadata name."""
    upper = {key.upper(): value for key, value in tags.items()}
    return next((found for tag in SENSOR_TAGS if (found := sensor_in(upper.get(tag, "")))), None)


def sensor_of_bands(bands: Sequence[str]) -> Sensor | None:
    """The sensor that alone has such bands."""
    if "B8A" in bands:
        return SENSORS[0]
    return SENSORS[-1] if {"VV", "VH"} & set(bands) else None


_BAND = re.compile(r"(?:sr[_ -]?)?(?:band|b)[_ -]?0*(\d{1,2})(a?)", re.IGNORECASE)
_BAND_IN_NAME = re.compile(
    r"(?:^|[_. -])(?:s[rt][_ -])?((?:band|b)[_ -]?0*\d{1,2}a?|vv|vh|hh|hv)(?=$|[_. -])", re.IGNORECASE
)
_RESOLUTION = re.compile(r"[_. -]\d{1,4}m(?=$|[_. -])", re.IGNORECASE)


def band_name(text: str) -> str:
    """A band's name in one spelling: ``B2``, ``b02``, ``Band_2`` and ``SR_B2`` become ``B02``; ``Band 8A`` ``B8A``."""
    short = re.split(r"[,(]", text.strip(), maxsplit=1)[0].strip()
    match = _BAND.fullmatch(short)
    if match:
        number, letter = int(match[1]), match[2].upper()
        return f"B{number}A" if letter else f"B{number:02d}"
    return short.upper() if short.lower() in ("vv", "vh", "hh", "hv", "scl") else short


def band_in_name(stem: str) -> str | None:
    """The band that the name of a file ends with or holds, the last one if several could be meant."""
    found = _BAND_IN_NAME.findall(stem)
    return band_name(found[-1]) if found else None


def without_band(stem: str) -> str:
    """A file's name without its band and its resolution: what files of one image have in common."""
    rest = _RESOLUTION.sub("", stem)
    found = list(_BAND_IN_NAME.finditer(rest))
    return rest[: found[-1].start()] + rest[found[-1].end() :] if found else rest


THERMAL = ("LST", "ST_B10", "B10")
"""What the temperature of the ground is called; of several, the first counts."""

_MEASURED = re.compile(r"B\d\d|B8A|VV|VH|HH|HV")


def is_thermal(band: str, sensor: Sensor) -> bool:
    """Whether a band holds temperature: by its name, or as a band of its sensor."""
    return band == THERMAL[0] or band.startswith("ST_B") or band in sensor.thermal


def is_measured(band: str, sensor: Sensor) -> bool:
    """Whether a band is by its name what a sensor measures, temperature aside: no angle, index or quality."""
    return bool(_MEASURED.fullmatch(band)) and not is_thermal(band, sensor)


_MASK = re.compile(r"(?<![a-z])clm(?![a-z])|(?<!data)(?<!valid)(?<!valid_)mask", re.IGNORECASE)
_SCL = re.compile(r"(?<![a-z])scl(?![a-z])", re.IGNORECASE)
_QUICKLOOK = re.compile(r"quick_?look|preview|thumb|browse|(?<![a-z])(?:ql|tci|pvi)(?![a-z])", re.IGNORECASE)


def mask_kind(name: str) -> MaskKind | None:
    """What a mask's values mean, if a name says that it is one. A ``dataMask`` says where data are: it is none."""
    if _MASK.search(name):
        return "mask"
    return "scl" if _SCL.search(name) else None


def is_quicklook(name: str) -> bool:
    """Whether a name speaks of a picture to look at."""
    return bool(_QUICKLOOK.search(name))


_BASELINE = re.compile(r"(?<![a-z0-9])n(\d{2})(\d{2})(?![a-z0-9])", re.IGNORECASE)
_MOMENT = re.compile(r"(?<!\d)(\d{8})[T_]?(\d{6})(?!\d)", re.IGNORECASE)


def baseline(stem: str, tags: Mapping[str, str]) -> float | None:
    """The processing baseline of Sentinel-2, such as 4.0, from metadata or a product name (``_N0400_``)."""
    upper = {key.upper(): value for key, value in tags.items()}
    try:
        return float(upper["PROCESSING_BASELINE"].upper().lstrip("N"))
    except (KeyError, ValueError):
        match = _BASELINE.search(stem.replace("_", " "))
        return int(match[1]) + int(match[2]) / 100 if match else None


def processing_time(stem: str, tags: Mapping[str, str]) -> str:
    """When a product was made, as text that sorts by time; empty where neither metadata nor the name say."""
    upper = {key.upper(): value for key, value in tags.items()}
    for tag in PROCESSING_TAGS:
        if first_date(upper.get(tag, "")):
            return re.sub(r"\D", "", upper[tag]).ljust(14, "0")[:14]
    moments = ["".join(moment) for moment in _MOMENT.findall(stem)]
    if len(moments) > 1:
        return moments[-1]
    days = _dates(stem)
    return f"{days[-1]:%Y%m%d}".ljust(14, "0") if len(days) > 1 else ""


def scalings_in_header(
    bands: Sequence[str], scales: Sequence[float], offsets: Sequence[float]
) -> dict[str, tuple[float, float]]:
    """Scale and offset of each band that a header gives them for; GDAL says 1 and 0 where it gives none."""
    scalings = zip(map(float, scales), map(float, offsets), strict=True)
    return {band: scaling for band, scaling in zip(bands, scalings, strict=True) if scaling != (1, 0)}


def scaling_in_tags(tags: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Scale and offset to reflectance as tags give them, for all bands alike; None for what they do not give."""
    upper = {key.upper(): value for key, value in tags.items()}
    scale, offset = _number(upper.get("SCALE", "")), _number(upper.get("OFFSET", ""))
    added = _number(upper.get("BOA_ADD_OFFSET", ""))
    if offset is None and added is not None:  # in digital numbers
        offset = added * (scale or SENSORS[0].scale)
    return scale or None, offset


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def is_harmonised(stem: str, tags: Mapping[str, str]) -> bool:
    """Whether the offset of Sentinel-2's baseline 04.00 was already taken off the digital numbers."""
    done = ("BOA_ADD_OFFSET_APPLIED", "BOA_OFFSET_APPLIED", "OFFSET_APPLIED", "HARMONIZED", "HARMONISED")
    upper = {key.upper(): value.strip().lower() for key, value in tags.items()}
    return "harmoni" in stem.lower() or any(upper.get(tag) in ("1", "yes", "true") for tag in done)
