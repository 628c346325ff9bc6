import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sitsinfer.errors import OutputError, StoreError
from sitsinfer.grid import Tiles, Window, whole
from sitsinfer.store import Store, TileReport, clear, locked, make_scratch
from tests.fakes import FakeTask, make_grid, truth

GRID = make_grid(23, 37)
LAYERS = FakeTask(GRID).layers
FINGERPRINT = {"inputs": "a", "model": "b"}


def create(path: Path, shift: tuple[int, int] = (3, 5)) -> Store:
    return Store.create(path, LAYERS, GRID, Tiles(whole(GRID).shape, 10, shift), FINGERPRINT)


@pytest.mark.parametrize("shift", [(0, 0), (3, 5), (9, 9)])
def test_what_is_written_by_tiles_is_read_by_windows(tmp_path: Path, shift: tuple[int, int]) -> None:
    store = create(tmp_path / "store", shift)
    for tile in store.tiles:
        store.write(tile, {"classes": truth(tile.core)})
    window = Window(4, 7, 15, 21)
    np.testing.assert_array_equal(store.source("classes").read(window), truth(window))
    np.testing.assert_array_equal(store.source("classes").read(whole(GRID)), truth(whole(GRID)))


def test_tiles_never_share_a_chunk(tmp_path: Path) -> None:
    store = create(tmp_path / "store")
    written = []
    for tile in store.tiles:
        store.write(tile, {"classes": truth(tile.core)})
        written.append(len(list((tmp_path / "store" / "layers").rglob("c/*/*/*"))))
    assert written == list(range(1, len(store.tiles) + 1))


def test_what_no_tile_wrote_is_nodata(tmp_path: Path) -> None:
    assert (create(tmp_path / "store").source("classes").read(whole(GRID)) == 255).all()


def test_what_else_a_tile_found_is_kept_beside_its_layers(tmp_path: Path) -> None:
    store = create(tmp_path / "store")
    for tile, found in ((store.tiles[0, 0], b"a parcel"), (store.tiles[1, 2], b"")):
        store.write(tile, {"classes": truth(tile.core)}, found)
        store.mark(TileReport(tile.name, 1, 7, len(found), 0.1, 0.2, 0.3))
        assert store.found(tile) == found


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("found/r0_c0", Path.unlink),
        ("found/r0_c0", lambda path: path.write_bytes(b"a par")),
        ("tiles/r0_c0.json", lambda path: path.write_bytes(b"")),
        ("tiles/r0_c0.json", lambda path: path.write_bytes(path.read_bytes()[:-20])),
        ("tiles/r0_c0.json", lambda path: path.write_bytes(b"\xff" * 40)),
        ("tiles/r0_c0.json", lambda path: path.write_text("[]")),
        ("tiles/r0_c0.json", lambda path: path.write_text('{"name": "r0_c0"}')),
    ],
)
def test_a_damaged_tile_is_not_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, damage: Callable[[Path], object]
) -> None:
    store = create(tmp_path / "store")
    tile, other = store.tiles[0, 0], store.tiles[0, 1]
    for written in (tile, other):
        store.write(written, {}, b"a parcel")
        store.mark(TileReport(written.name, 1, 7, 8, 0.1, 0.2, 0.3))
    assert store.is_done(tile)
    damage(tmp_path / "store" / file)
    with pytest.raises(StoreError, match=rf"damaged: .*{file}.* Run the same command again"):
        store.found(tile)
    assert not caplog.records
    assert not store.is_done(tile)
    assert store.is_done(other)
    (record,) = caplog.records
    assert record.getMessage().startswith("Tile r0_c0 is damaged and made again: ")
    assert file in record.getMessage()
    assert "\n" not in record.getMessage()


def test_a_marker_that_cannot_be_read_is_told_among_reports(tmp_path: Path) -> None:
    store = create(tmp_path / "store")
    store.mark(TileReport("r0_c0", 1, 7, 0, 0.1, 0.2, 0.3))
    (tmp_path / "store" / "tiles" / "r0_c0.json").write_text("")
    with pytest.raises(StoreError, match=r"tiles/r0_c0\.json holds no report .* Run the same command again"):
        list(store.reports())


def test_a_tile_is_written_again_where_all_that_was_found_is_lost(tmp_path: Path) -> None:
    store = create(tmp_path / "store")
    tile = store.tiles[0, 0]
    store.write(tile, {}, b"a parcel")
    store.mark(TileReport(tile.name, 1, 7, 8, 0.1, 0.2, 0.3))
    shutil.rmtree(tmp_path / "store" / "found")
    assert not store.is_done(tile)
    store.write(tile, {}, b"a parcel")
    assert store.is_done(tile)


@pytest.mark.parametrize(
    "damage", [lambda path: shutil.rmtree(path), lambda path: (path / "zarr.json").write_bytes(b"")]
)
def test_a_layer_that_is_lost_is_named(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    store = create(tmp_path / "store")
    damage(tmp_path / "store" / "layers" / "classes")
    lost = r"layers/classes is missing or damaged\. Remove .*store to start anew"
    with pytest.raises(StoreError, match=lost):
        Store.open(tmp_path / "store", FINGERPRINT)
    with pytest.raises(StoreError, match=lost):
        store.write(store.tiles[0, 0], {"classes": truth(store.tiles[0, 0].core)})
    with pytest.raises(StoreError, match=lost):
        store.source("classes")


def test_a_window_across_tiles_is_painted(tmp_path: Path) -> None:
    store, window = create(tmp_path / "store"), Window(4, 0, 11, 37)
    store.paint("classes", window, truth(window))
    np.testing.assert_array_equal(store.source("classes").read(window), truth(window))
    assert (store.source("classes").read(Window(15, 0, 8, 37)) == 255).all()


def test_a_store_opened_again_knows_all_it_was_created_with(tmp_path: Path) -> None:
    store = create(tmp_path / "store")
    tile = store.tiles[1, 2]
    report = TileReport(tile.name, 100, 7, 0, 0.1, 0.2, 0.3)
    store.mark(report)
    again = Store.open(tmp_path / "store", FINGERPRINT)
    assert again == store
    assert again.is_done(tile)
    assert not again.is_done(store.tiles[0, 0])
    assert list(again.reports()) == [report]


def test_the_store_of_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    create(tmp_path / "store")
    with pytest.raises(StoreError, match=r"differs in: model\. Repeat that run .* or set overwrite"):
        Store.open(tmp_path / "store", {"inputs": "a", "model": "c"})


def test_a_store_of_inputs_that_changed_cannot_be_finished(tmp_path: Path) -> None:
    create(tmp_path / "store")
    with pytest.raises(StoreError, match=r"differs in: inputs\. They changed since\. Set overwrite to start anew\."):
        Store.open(tmp_path / "store", {**FINGERPRINT, "inputs": "other"})


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "run.json").write_text("{")
    with pytest.raises(StoreError, match="is not the store of a run"):
        Store.open(tmp_path / "store", FINGERPRINT)


def test_two_runs_cannot_have_one_store(tmp_path: Path) -> None:
    with locked(tmp_path / "store"), pytest.raises(StoreError, match="Another run"), locked(tmp_path / "store"):
        pass
    with locked(tmp_path / "store"):
        pass


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write .* Choose an output that can be written"):
        create(tmp_path / "file" / "store")


def test_removing_a_store_leaves_nothing(tmp_path: Path) -> None:
    store = create(tmp_path / "store")
    store.remove()
    assert not (tmp_path / "store").exists()


def test_a_folder_that_holds_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mine.txt").write_text("precious")
    with (
        pytest.raises(StoreError, match=r"holds mine\.txt, which sitsinfer did not put there"),
        locked(tmp_path / "store"),
    ):
        pass
    assert (tmp_path / "store" / "mine.txt").read_text() == "precious"


def test_a_store_without_layers_has_tiles_and_what_they_found(tmp_path: Path) -> None:
    tiles = Tiles(whole(GRID).shape, 10)
    store = Store.create(tmp_path / "store", (), GRID, tiles, FINGERPRINT)
    tile = store.tiles[1, 2]
    store.write(tile, {}, b"a parcel")
    store.mark(TileReport(tile.name, 1, 7, 8, 0.1, 0.2, 0.3))
    opened = Store.open(tmp_path / "store", FINGERPRINT)
    assert (opened.layers, opened.tiles) == ((), tiles)
    assert [tile.name for tile in opened.tiles if opened.is_done(tile)] == ["r1_c2"]
    assert opened.found(tile) == b"a parcel"


def test_what_is_kept_on_disk_for_a_run_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with locked(path):
        (make_scratch(path) / "index").write_bytes(b"of parcels")
        (path / "tiles").mkdir()
        (path / "tiles" / "r0_c0.json").touch()
        (path / "run.json").touch()
    with locked(path):  # it is ours, and stays while there is a tile
        assert (make_scratch(path) / "index").read_bytes() == b"of parcels"
        clear(path)
        assert [part.name for part in path.iterdir()] == ["lock"]
    assert not path.exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "store").touch()
    with pytest.raises(OutputError, match="Cannot write .*store"):
        make_scratch(tmp_path / "store")
