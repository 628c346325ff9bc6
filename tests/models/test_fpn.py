import pytest
import torch

from sitsinfer.errors import ModelError
from tests.data.record_models import CASES, filled


def test_a_patch_within_reach_of_the_pyramid_is_refused():
    with pytest.raises(ModelError, match=r"4 x 9 pixels\. The pyramid takes 5 and more"):
        filled(*CASES["fpn"])(torch.zeros(1, 2, 3, 4, 9))
