import datetime
from dataclasses import dataclass, replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from sklearn.metrics import precision_score, recall_score, roc_auc_score

import sitsinfer
from sitsinfer.errors import MetricError, OutputError
from sitsinfer.layers import Layer
from sitsinfer.products import dated

DATES = tuple(datetime.date(2022, 1, 8) + datetime.timedelta(days) for days in (0, 23, 71))
SHAPE = (33, 41)
GRID = GeoBox(SHAPE, Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
LAYER = Layer("cloud_score", "uint8", 255, ("cloud_score",), (1 / 250,), ("1",), DATES)


@dataclass(frozen=True)
class Scores:
    """Scores of clouds as a source of several dates."""

    values: np.ndarray
    layer: Layer = LAYER
    grid: GeoBox = GRID

    def on(self, date):
        return Scores(self.values[[self.layer.dates.index(date)]], self.layer.on(date))

    def read(self, window):
        return self.values[:, window.row : window.stop_row, window.col : window.stop_col]


@pytest.fixture
def clouds():
    """Where there are clouds: somewhere, everywhere, nowhere; and scores that tell something of it."""
    rng = np.random.default_rng(3)
    truth = np.stack([rng.random(SHAPE) < 0.3, np.ones(SHAPE, bool), np.zeros(SHAPE, bool)])
    scores = np.clip(rng.normal(100 + 60 * truth, 50), 0, 250).astype(np.uint8)
    scores[:, :4] = 255
    return truth, scores


def write_scores(out, scores, **changes):
    dated.write(out, "clouds", [Scores(scores, replace(LAYER, **changes))], {})
    return out


def write_masks(folder, truth, dates=DATES, dtype="uint8", nodata=9, cloud=1, bands=1):
    """Masks one row and two columns short of the scores."""
    folder.mkdir(exist_ok=True)
    height, width = SHAPE[0] - 1, SHAPE[1] - 2
    profile = {"height": height, "width": width, "count": bands, "dtype": dtype, "nodata": nodata}
    for day, mask in zip(dates, truth, strict=True):
        values = np.where(mask, cloud, 0).astype(dtype)[:height, :width]
        values[:, 5] = nodata
        path = folder / f"S2_CLM_{day:%Y%m%d}.tif"
        with rasterio.open(path, "w", driver="GTiff", crs=GRID.crs.to_wkt(), transform=GRID.affine, **profile) as file:
            file.write(values, 1)
    return folder


def known(values):
    """What has a score and a mask."""
    return np.delete(values[..., 4:-1, :-2], 5, axis=-1)


@pytest.mark.parametrize("name", ["out", "out.nc", "out.zarr"])
@pytest.mark.parametrize(("dtype", "nodata", "cloud"), [("uint8", 255, 1), ("int16", -9, 255), ("uint8", 255, 2)])
def test_scores_are_those_of_scikit_learn(tmp_path, clouds, name, dtype, nodata, cloud):
    truth, scores = clouds
    masks = write_masks(tmp_path / "masks", truth, dtype=dtype, nodata=nodata, cloud=cloud)
    found = sitsinfer.evaluate_clouds(write_scores(tmp_path / name, scores), masks, threshold=0.48)
    assert tuple(found.dates) == DATES
    first, second, third = found.dates.values()
    right, values = known(truth).reshape(3, -1), known(scores).reshape(3, -1)
    for entry, is_cloud, value in ((first, right[0], values[0]), (found.pooled, right.ravel(), values.ravel())):
        assert entry.pixels == is_cloud.size
        assert entry.share == pytest.approx(is_cloud.mean())
        assert entry.auc == pytest.approx(roc_auc_score(is_cloud, value), abs=1e-12)
        assert entry.precision == pytest.approx(precision_score(is_cloud, value >= 120))
        assert entry.recall == pytest.approx(recall_score(is_cloud, value >= 120))
    assert np.isnan([second.auc, third.auc, third.recall]).all()
    assert (second.precision, third.precision) == (1, 0)
    assert second.recall == pytest.approx((values[1] >= 120).mean())


def test_dates_that_one_alone_has_are_told(tmp_path, clouds):
    truth, scores = clouds
    late = datetime.date(2022, 5, 1)
    masks = write_masks(tmp_path / "masks", truth, (DATES[0], DATES[2], late))
    found = sitsinfer.evaluate_clouds(write_scores(tmp_path / "out", scores), masks)
    assert tuple(found.dates) == (DATES[0], DATES[2])
    assert (found.without_mask, found.without_scores) == ((DATES[1],), (late,))


def test_masks_beside_the_scores_do_not_matter(tmp_path, clouds):
    truth, scores = clouds
    masks = write_masks(tmp_path / "masks", truth)
    layers = [Scores(scores), Scores(scores, replace(LAYER, name="cloud_mask", scales=()))]
    for name in ("out", "out.nc"):
        dated.write(tmp_path / name, "clouds", layers, {})
        assert sitsinfer.evaluate_clouds(tmp_path / name, masks).pooled.share == pytest.approx(known(truth).mean())


def test_what_does_not_fit_is_one_line(tmp_path, clouds):
    truth, scores = clouds
    out = write_scores(tmp_path / "out", scores)
    masks = write_masks(tmp_path / "masks", truth)
    with pytest.raises(MetricError, match=r"^The threshold is 1\.5\. Expected 0 to 1"):
        sitsinfer.evaluate_clouds(out, masks, threshold=1.5)
    with pytest.raises(MetricError, match=r"Scores are 0 to 250\. Expected 0 to 1; set their scale\.$"):
        sitsinfer.evaluate_clouds(write_scores(tmp_path / "raw", scores, scales=()), masks)
    with pytest.raises(OutputError, match=r"masks holds no cloud_score"):
        sitsinfer.evaluate_clouds(masks, masks)
    with pytest.raises(MetricError, match=r"gone has no raster with a date in its name\. Expected a folder of masks"):
        sitsinfer.evaluate_clouds(out, tmp_path / "gone")
    (masks / "CLM_20220108_again.tif").write_bytes(b"")
    with pytest.raises(
        MetricError, match=r"two rasters of 2022-01-08, CLM_20220108_again\.tif and S2_CLM_20220108\.tif\."
    ):
        sitsinfer.evaluate_clouds(out, masks)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bands": 4}, r"S2_CLM_20220108\.tif has 4 bands\. Expected a mask: one band of integers, not 0 where"),
        ({"dtype": "float32"}, r"has values of type float32\. Expected a mask: one band of integers"),
        ({"cloud": 8}, r"20220108\.tif holds 0, 8\. Expected a mask: 1 to 3 or 255.* Make one of scene classes"),
        ({"cloud": [[1] * 20 + [255] * 21]}, r"holds 0, 1, 255\. Expected a mask.*set nodata where nothing is known"),
    ],
)
def test_what_is_no_mask_is_one_line(tmp_path, clouds, changes, words):
    truth, scores = clouds
    masks = write_masks(tmp_path / "masks", truth, **changes)
    with pytest.raises(MetricError, match=words):
        sitsinfer.evaluate_clouds(write_scores(tmp_path / "out", scores), masks)


def test_dates_or_places_that_are_not_shared_are_one_line(tmp_path, clouds):
    truth, scores = clouds
    out = write_scores(tmp_path / "out", scores)
    late = write_masks(tmp_path / "late", truth[:1], [datetime.date(2022, 5, 1)])
    with pytest.raises(
        MetricError, match=r"the one has 3 from 2022-01-08 to 2022-03-20, the other 2022-05-01\. Compare"
    ):
        sitsinfer.evaluate_clouds(out, late)
    scores[:] = 255
    masks = write_masks(tmp_path / "masks", truth)
    with pytest.raises(MetricError, match=r"share no pixel that counts\. Expected images of one area\."):
        sitsinfer.evaluate_clouds(write_scores(tmp_path / "nothing", scores), masks)
