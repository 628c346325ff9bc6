import pytest

from sitsinfer.errors import WeightsError
from sitsinfer.fusion.unavailable import without_weights


@pytest.mark.parametrize(
    ("algorithm", "where"),
    [
        ("dstfn", "model_100.pth"),
        ("dsen2", "simonreise/dsen2"),
        ("deepharmo", "four U-Nets on the Hugging Face hub"),
        ("utilise", "UTILISE_WEIGHTS_FILE and UTILISE_CONFIGURATION_FILE"),
    ],
)
def test_one_line_says_what_is_missing_and_where_it_is_published(algorithm, where):
    error = without_weights(algorithm)
    assert isinstance(error, WeightsError)
    assert where in str(error)
    assert "naive" in str(error)
    assert "\n" not in str(error)
