from pathlib import Path

import pytest

from sitsinfer.errors import OutputError
from sitsinfer.products import writer_for
from sitsinfer.products.cog import write_cog


@pytest.mark.parametrize("name", ["map.tif", "MAP.TIF", "a.b.tiff"])
def test_ending_chooses_the_writer(name):
    assert writer_for(Path(name)) is write_cog


@pytest.mark.parametrize("name", ["map.jpg", "map", "folder/"])
def test_unknown_ending_names_the_known_ones(name):
    with pytest.raises(OutputError, match=r"names no product\. Known endings: \.tif, \.tiff\."):
        writer_for(Path(name))
