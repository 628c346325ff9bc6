import geopandas as gpd
import pyogrio
import pytest
import shapely

from sitsinfer.errors import OutputError
from sitsinfer.products.attributes import open_attributes

SQUARE = shapely.box(500_000, 5_000_000, 500_100, 5_000_200)
FRAME = gpd.GeoDataFrame(
    {"name": ["a", None, "c"], "code": [3, 1, None], "share": [0.5, 1.0, None]},
    geometry=[SQUARE, None, SQUARE],
    crs=32631,
)


def write(path):
    if path.suffix == ".parquet":
        FRAME.to_parquet(path)
    elif path.suffix == ".csv":
        FRAME.drop(columns="geometry").to_csv(path, index=False)
    else:
        FRAME.to_file(path, **({"SPATIAL_INDEX": "NO"} if path.suffix == ".fgb" else {}))
    return path


@pytest.mark.parametrize(("name", "first"), [("a.gpkg", 1), ("a.parquet", 0), ("a.fgb", 0), ("a.geojson", 0)])
def test_attributes_mean_the_same_in_every_format(tmp_path, name, first):
    table = open_attributes(write(tmp_path / name))
    assert table.columns == ("name", "code", "share", "fid")
    codes, numbers, names, shares = table.read(["code", "fid", "name", "share"])
    assert codes.tolist() == [3, 1, None]
    assert [type(code) for code in codes] == [int, int, type(None)]
    assert numbers.tolist() == [first, first + 1, first + 2]
    assert (names.tolist(), shares.tolist()) == (["a", None, "c"], [0.5, 1, None])


def test_a_table_of_text_is_text(tmp_path):
    table = open_attributes(write(tmp_path / "a.csv"))
    assert [values.tolist() for values in table.read(["code", "name"])] == [["3.0", "1.0", None], ["a", None, "c"]]


def test_an_attribute_of_that_name_comes_before_the_number_of_a_feature(tmp_path):
    path = tmp_path / "a.fgb"
    FRAME.assign(fid=[7, 9, 5]).to_file(path, SPATIAL_INDEX="NO")
    (values,) = open_attributes(path).read(["fid"])
    assert values.tolist() == [7, 9, 5]


def test_tables_beside_the_layer_do_not_matter_but_other_layers_do(tmp_path):
    path = write(tmp_path / "a.gpkg")
    pyogrio.write_dataframe(FRAME.drop(columns="geometry"), path, layer="styles", append=True)
    assert open_attributes(path).columns[0] == "name"
    FRAME.to_file(path, layer="more")
    with pytest.raises(OutputError, match=r"a\.gpkg has 2 layers: a, more\. Expected a file with one\.$"):
        open_attributes(path)


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.geojson"])
def test_what_is_no_table_is_one_line(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(OutputError, match=r"^There is no \S+\. Expected a vector file or a table\.$"):
        open_attributes(path)
    path.write_bytes(b"\x00" * 200)
    with pytest.raises(OutputError, match=r"^Cannot read .+\. Expected a vector file or a table\.$"):
        open_attributes(path).read(["code"])
