import os

import pytest

from sitsinfer.errors import OutputError
from sitsinfer.products.whole import whole_file


def test_name_appears_only_at_the_end(tmp_path):
    with whole_file(tmp_path / "map.json") as draft:
        draft.write_text("{}")
        assert not (tmp_path / "map.json").exists()
        assert draft.name == "map.json"
    assert [path.name for path in tmp_path.iterdir()] == ["map.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_interrupted_file_leaves_nothing(tmp_path, error):
    with pytest.raises(error), whole_file(tmp_path / "map.json") as draft:  # noqa: PT012 - the body is under test
        draft.write_text("{")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_reason_of_the_system_is_told(tmp_path):
    (tmp_path / "map.json").mkdir()
    with (
        pytest.raises(OutputError, match=r"^Cannot write .*map\.json: Is a directory\."),
        whole_file(tmp_path / "map.json") as draft,
    ):
        draft.write_text("{}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_is_not_writable_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match=r"Check that .* is writable"), whole_file(tmp_path / "map.json"):
        pass
