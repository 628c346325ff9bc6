import os

import pytest

from sitsinfer.errors import OutputError
from sitsinfer.products.whole import make_folder, whole_file, whole_folder


def test_name_appears_only_at_the_end(tmp_path):
    with whole_file(tmp_path / "map.json") as draft:
        draft.write_text("{}")
        assert not (tmp_path / "map.json").exists()
        assert draft.name == "map.json"
    assert [path.name for path in tmp_path.iterdir()] == ["map.json"]


def test_companions_of_the_old_file_go_once_the_new_one_is_whole(tmp_path):
    companions = [tmp_path / "a.db-wal", tmp_path / "a.db-shm"]
    companions[0].write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "a.db", companions):
        raise KeyboardInterrupt
    assert companions[0].exists()
    with whole_file(tmp_path / "a.db", companions) as draft:
        draft.write_text("new")
        assert companions[0].exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]


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


def test_folder_is_replaced_whole(tmp_path):
    for content in ("old", "new"):
        with whole_folder(tmp_path / "cube.zarr") as draft:
            (draft / content).write_text(content)
            assert (tmp_path / "cube.zarr").exists() == (content == "new")
    assert [path.name for path in tmp_path.iterdir()] == ["cube.zarr"]
    assert [path.name for path in (tmp_path / "cube.zarr").iterdir()] == ["new"]


def test_interrupted_folder_leaves_the_old_one(tmp_path):
    (tmp_path / "cube.zarr").mkdir()
    (tmp_path / "cube.zarr" / "old").write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "cube.zarr") as draft:  # noqa: PT012
        (draft / "new").write_text("new")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["cube.zarr"]
    assert [path.name for path in (tmp_path / "cube.zarr").iterdir()] == ["old"]


def test_folder_does_not_replace_a_file(tmp_path):
    (tmp_path / "cube.zarr").write_text("a file")
    with (
        pytest.raises(OutputError, match=r"^Cannot write .*cube\.zarr: Not a directory\."),
        whole_folder(tmp_path / "cube.zarr") as draft,
    ):
        (draft / "new").write_text("new")
    assert (tmp_path / "cube.zarr").read_text() == "a file"


def test_folder_in_a_missing_one_is_one_line(tmp_path):
    with pytest.raises(OutputError, match=r"there is no folder .*nowhere\. Create it"):
        make_folder(tmp_path / "nowhere" / "l3a")
