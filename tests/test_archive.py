import numpy as np
import pytest

from sitsinfer.archive import pack_arrays, unpack_arrays
from sitsinfer.errors import StoreError


def test_arrays_come_back_by_name() -> None:
    content = pack_arrays(rows=np.arange(3, dtype=np.int16), values=np.zeros((0, 2), np.float32))
    values, rows = unpack_arrays(content, ("values", "rows"))
    assert (values.shape, values.dtype) == ((0, 2), np.float32)
    np.testing.assert_array_equal(rows, np.arange(3, dtype=np.int16))
    assert content == pack_arrays(rows=rows, values=values)


@pytest.mark.parametrize(
    "content", [b"", b"text", pack_arrays(rows=np.arange(99))[:-40], pack_arrays(cols=np.arange(3))]
)
def test_damage_is_one_line(content: bytes) -> None:
    with pytest.raises(StoreError, match=r"^What a tile found cannot be read .*'\.partial', to start anew\.$"):
        unpack_arrays(content, ["rows"])


def test_a_changed_byte_is_damage() -> None:
    content = bytearray(pack_arrays(rows=np.arange(99)))
    content[len(content) // 2] ^= 1
    with pytest.raises(StoreError, match="cannot be read"):
        unpack_arrays(bytes(content), ["rows"])
