import csv

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pytest
import shapely
from odc.geo.crs import CRS

import sitsinfer
from sitsinfer.api import ParcelAccuracy
from sitsinfer.errors import MetricError, OutputError
from sitsinfer.layers import ClassInfo
from sitsinfer.products.classified import ClassifiedParcels, write_classified

CLASSES = (
    ClassInfo(3, "Blé d'hiver", (230, 200, 60)),
    ClassInfo(7, "Maïs", (60, 200, 60)),
    ClassInfo(20, "Prairie", (9, 9, 9)),
)
NAMES = ["a", "b", "c", "d", "e", "f", "g"]
CODES = [3, 3, 7, 7, None, 20, 3]
WIDTHS = [100, 200, 300, 100, 500, 200, 50]
BOXES = [
    shapely.box(700_000, 6_600_000 + 200 * n, 700_000 + width, 6_600_100 + 200 * n) for n, width in enumerate(WIDTHS)
]
TRUTH = {"g": 7, "a": 3, "b": 3, "c": 7, "d": 3, "e": 3, "x": 20, "y": None}
"""By code: parcels f and y have none, e is not classified, x is elsewhere."""


def write_parcels(path, names=NAMES, column="parcel"):
    """Seven parcels 100 m high as ``classify`` writes them, one of them without a class."""
    codes = [entry.code for entry in CLASSES]
    probabilities = np.array([[float(code == entry) for entry in codes] for code in CODES], np.float32)
    pixels = np.array([0 if code is None else 9 for code in CODES], np.int32)
    identifiers = pa.array(names)
    part = ClassifiedParcels(identifiers, pa.array(shapely.to_wkb(BOXES)), probabilities, pixels, pixels)
    write_classified([part], path, CRS("EPSG:2154"), pa.field(column, identifiers.type), CLASSES, {})
    return path


def write_truth(path, column="code", labels=TRUTH, identifier="parcel"):
    """A table of identifiers and labels, with points for geometries where its format wants some."""
    frame = gpd.GeoDataFrame(
        {"other": 1, column: list(labels.values()), identifier: list(labels)},
        geometry=[shapely.Point(0, n) for n in range(len(labels))],
        crs=4326,
    )
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_file(path)
    return path


@pytest.fixture
def truth(tmp_path):
    return write_truth(tmp_path / "truth.gpkg")


def check(found: ParcelAccuracy) -> None:
    accuracy = found.accuracy
    assert [(entry.code, entry.name) for entry in accuracy.classes] == [(entry.code, entry.name) for entry in CLASSES]
    assert accuracy.scores.matrix.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    np.testing.assert_allclose(found.by_area.matrix, [[3, 1, 0], [0.5, 3, 0], [0, 0, 0]], rtol=3e-3)
    np.testing.assert_allclose(accuracy.mapped, [3.5, 4, 2], rtol=3e-3)
    assert accuracy.scores.overall_accuracy == pytest.approx(3 / 5)
    assert found.by_area.overall_accuracy == pytest.approx(6 / 7.5, rel=1e-3)
    assert (found.unclassified, found.without_reference, found.without_parcel) == (1, ("f",), ("x", "y"))


@pytest.mark.parametrize("ending", [".gpkg", ".parquet", ".fgb"])
def test_parcels_are_joined_and_scored_by_number_and_by_area(tmp_path, truth, ending):
    found = sitsinfer.evaluate_parcels(write_parcels(tmp_path / f"c{ending}"), truth, label_column="code")
    check(found)
    assert found.ambiguous == ()
    assert found.accuracy.coverage == pytest.approx(5 / 6)
    assert found.accuracy.unsampled == [2]
    assert found.accuracy.weighted.share == pytest.approx(7.5 / 9.5, rel=1e-3)


def test_area_weighted_accuracy_is_that_of_ratios_of_areas(tmp_path, truth):
    weighted = sitsinfer.evaluate_parcels(
        write_parcels(tmp_path / "c.gpkg"), truth, label_column="code"
    ).accuracy.weighted
    users = np.array([3 / 3.5, 3 / 4])
    np.testing.assert_allclose(weighted.users.value[:2], users, rtol=1e-3)
    sizes = np.array([1, 2, 0.5])
    residuals = sizes * (np.array([1, 1, 0]) - users[0])
    error = np.sqrt(3 / 2 * (residuals**2).sum()) / sizes.sum()
    assert weighted.users.error[0] == pytest.approx(error, rel=1e-3)
    assert weighted.overall.value == pytest.approx((3.5 * users[0] + 4 * users[1]) / 7.5, rel=1e-3)
    np.testing.assert_allclose(weighted.areas.value, [4, 3.5, 0], rtol=3e-3)


@pytest.mark.parametrize("ending", [".geojson", ".parquet"])
def test_labels_may_be_names(tmp_path, ending):
    names = {entry.code: entry.name for entry in CLASSES} | {None: None}
    labels = {name: names[code] for name, code in TRUTH.items()}
    truth = write_truth(tmp_path / f"t{ending}", "class_name", labels)
    check(sitsinfer.evaluate_parcels(write_parcels(tmp_path / "c.gpkg"), truth))


def test_a_class_that_is_never_found_has_a_row(tmp_path):
    truth = write_truth(tmp_path / "t.gpkg", "crop", {"a": "Maïs", "b": "Vigne", "c": "Maïs"})
    accuracy = sitsinfer.evaluate_parcels(write_parcels(tmp_path / "c.gpkg"), truth, label_column="crop").accuracy
    assert [(entry.code, entry.name) for entry in accuracy.classes][-1] == (None, "Vigne")
    assert accuracy.scores.matrix[3].tolist() == [1, 0, 0, 0]
    assert accuracy.weighted.areas.value[3] == pytest.approx(3.5 / 2 * 4 / 3, rel=0.2)


def test_a_table_of_text_will_do(tmp_path):
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("parcel", "code"), *((name, code) for name, code in TRUTH.items())])
    check(sitsinfer.evaluate_parcels(write_parcels(tmp_path / "c.gpkg"), tmp_path / "t.csv", label_column="code"))


def test_identifiers_of_other_types_are_the_same(tmp_path):
    truth = write_truth(tmp_path / "t.gpkg", labels={str(n): code for n, code in enumerate([3, 3, 7, 3])})
    parcels = write_parcels(tmp_path / "c.gpkg", range(7))
    found = sitsinfer.evaluate_parcels(parcels, truth, label_column="code")
    assert found.accuracy.scores.matrix.sum() == 4
    assert found.without_parcel == ()


@pytest.mark.parametrize("identifier", [int, str])
def test_whole_numbers_may_have_decimals_in_a_table_of_text(tmp_path, identifier):
    rows = [("parcel", "code"), *((f"{n}.0", f"{code}.00") for n, code in enumerate([3, 3, 7, 3])), ("6.5", "")]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    parcels = write_parcels(tmp_path / "c.gpkg", [identifier(n) for n in range(7)])
    found = sitsinfer.evaluate_parcels(parcels, tmp_path / "t.csv", label_column="code", ignore=["20.0"])
    assert found.accuracy.scores.matrix.tolist() == [[2, 1], [0, 1]]
    assert found.without_parcel == ("6.5",)


def test_parcels_without_identifiers_are_known_by_their_numbers(tmp_path):
    truth = write_truth(tmp_path / "t.gpkg", labels=dict(zip("qrst", [3, 3, 7, 3], strict=True)))
    parcels = write_parcels(tmp_path / "c.parquet", range(1, 8), "fid")  # as GDAL counts in a GeoPackage
    found = sitsinfer.evaluate_parcels(parcels, truth, label_column="code")
    assert found.accuracy.scores.matrix.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_ignored_classes_count_in_neither(tmp_path, truth):
    parcels = write_parcels(tmp_path / "c.gpkg")
    found = sitsinfer.evaluate_parcels(parcels, truth, label_column="code", ignore=["7"])
    assert [entry.code for entry in found.accuracy.classes] == [3, 20]
    assert found.accuracy.scores.matrix.tolist() == [[2, 0], [0, 0]]
    assert found.without_reference == ("f", "g")
    with pytest.raises(MetricError, match=r"^Cannot ignore Maïs: the reference has codes\. Give codes\.$"):
        sitsinfer.evaluate_parcels(parcels, truth, label_column="code", ignore=["Maïs"])


def test_an_identifier_with_several_labels_counts_as_not_known(tmp_path):
    truth = gpd.GeoDataFrame(
        {"parcel": ["a", "a", "b", "b", "b", "c", "c", None], "code": [3, 7, 3, None, 3, None, 7, 3]},
        geometry=[shapely.Point(0, 0)] * 8,
        crs=4326,
    )
    truth.to_file(tmp_path / "t.gpkg")
    found = sitsinfer.evaluate_parcels(write_parcels(tmp_path / "c.gpkg"), tmp_path / "t.gpkg", label_column="code")
    assert found.ambiguous == ("a",)
    assert found.accuracy.scores.matrix.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert "a" in found.without_reference


def test_labels_of_all_parcels_leave_nothing_to_chance(tmp_path):
    truth = write_truth(tmp_path / "t.gpkg", labels=dict(zip(NAMES, [3, 7, 7, 7, 7, 20, 20], strict=True)))
    found = sitsinfer.evaluate_parcels(write_parcels(tmp_path / "c.gpkg"), truth, label_column="code").accuracy
    assert found.is_complete
    assert not found.weighted.overall.error


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {},
            r"truth\.gpkg has no column 'class_code', but other, code, parcel, fid\. Set label_column to the one of c",
        ),
        (
            {"label_column": "crop"},
            r"truth\.gpkg has no column 'crop', but other, code, parcel, fid\. Set label_column",
        ),
        ({"id_column": "farm"}, r"c\.gpkg has no column 'farm', but parcel, class_code, \S+ .+\. Set id_column to the"),
        ({"id_column": "pixels"}, r"truth\.gpkg has no column 'pixels', but other, code, parcel, fid\. Set id_column"),
        (
            {"label_column": "parcel"},
            r"Parcels are classified as Blé d'hiver, Maïs, Prairie, but \S+ has classes a, b, c",
        ),
        (
            {"label_column": "other"},
            r"Parcels are classified as 20, 3, 7, but \S*truth\.gpkg has classes 1\. Set label",
        ),
        ({"label_column": "code", "ignore": [3, 7]}, "No parcel has a class that counts in both layers"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, truth, options, words):
    parcels = write_parcels(tmp_path / "c.gpkg")
    with pytest.raises(MetricError, match=words) as caught:
        sitsinfer.evaluate_parcels(parcels, truth, **options)
    assert "\n" not in str(caught.value)


def test_layers_of_other_parcels_are_one_line(tmp_path):
    parcels = write_parcels(tmp_path / "c.gpkg")
    truth = write_truth(tmp_path / "t.gpkg", labels={"p1": 3, "p2": 7, "p3": 7})
    with pytest.raises(
        MetricError, match=r"share no identifier: the one has such as a, b, the other p1, p2\. Set id_col"
    ):
        sitsinfer.evaluate_parcels(parcels, truth, label_column="code")
    many = write_truth(tmp_path / "m.gpkg", labels={f"p{n}": n for n in range(1001)})
    with pytest.raises(MetricError, match=r"Column 'code' of \S*m\.gpkg has 1001 different values"):
        sitsinfer.evaluate_parcels(parcels, many, label_column="code")
    with pytest.raises(MetricError, match=r"m\.gpkg has no column 'class_code', but .+ Expected parcels as 'classify'"):
        sitsinfer.evaluate_parcels(many, parcels)
    with pytest.raises(OutputError, match=r"^There is no gone\.gpkg\."):
        sitsinfer.evaluate_parcels(parcels, "gone.gpkg")
