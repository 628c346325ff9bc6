import pytest

from sitsinfer.errors import SeriesError
from sitsinfer.fusion.spectral import PairedBands
from tests.fusion.ground import BANDS


def test_all_pairs_are_found_by_their_colours():
    assert PairedBands.of(BANDS) == PairedBands(
        ("B02", "B03", "B04", "B8A", "B11", "B12"),
        ("B02", "B03", "B04", "B05", "B06", "B07"),
    )


def test_a_band_without_its_partner_is_left_out():
    found = PairedBands.of({"hr": ("B8A", "B08", "B02"), "lr": ("B01", "B05", "B03")})
    assert found == PairedBands(("B8A",), ("B05",))
    assert found.writes == {"hr": ("B8A",)}


@pytest.mark.parametrize("available", [{"hr": ("B05", "B08"), "lr": ("LST",)}, {"hr": ("B02",)}, {}])
def test_no_pair_is_refused(available):
    with pytest.raises(SeriesError, match="No band that both sensors see: Sentinel-2 has .* and Landsat has .*naive"):
        PairedBands.of(available)
