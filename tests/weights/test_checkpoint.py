import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from sitsinfer.errors import WeightsError
from sitsinfer.weights.checkpoint import read_state_dict
from tests.weights.published import Hostile, script

STATE = {"b.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.5])}


class Stepped(nn.Module):
    """Convolutions, one of them by half, and lists that a script keeps."""

    sizes: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.sizes = [3, 2]
        self.last = nn.Conv2d(2, 3, (2, 1))
        self.blocks = nn.ModuleList([nn.Conv2d(2, 2, 1, bias=False).half(), nn.Conv2d(2, 2, 1)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x) + self.sizes[0]


def rewrite(path: Path, changes: dict[str, bytes]) -> None:
    """Replace files in a zip archive, by the ends of their names."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, next((new for end, new in changes.items() if name.endswith(end)), content))


def check_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert [value.dtype for value in found.values()] == [value.dtype for value in expected.values()]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("content", [STATE, {"epoch": 3, "state_dict": STATE}])
def test_tensors_that_torch_saved_are_read_in_order(tmp_path: Path, content: dict[str, Any], zipped: bool) -> None:
    torch.save(content, tmp_path / "model.pth", _use_new_zipfile_serialization=zipped)
    check_equal(read_state_dict(tmp_path / "model.pth"), STATE)


def test_safetensors_are_read(tmp_path: Path) -> None:
    safetensors.torch.save_file(STATE, tmp_path / "model.safetensors")
    found = read_state_dict(tmp_path / "model.safetensors")
    check_equal({name: found[name] for name in STATE}, STATE)


def test_a_torchscript_archive_gives_the_state_dict_of_its_modules(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Stepped()
    script(tmp_path / "model.pt", module)
    check_equal(read_state_dict(tmp_path / "model.pt"), dict(module.state_dict()))


def test_views_in_a_torchscript_archive_keep_their_strides(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    module.weight = nn.Parameter(torch.arange(12.0).reshape(3, 4)[:, 1:3].t())
    script(tmp_path / "model.pt", module)
    assert torch.equal(read_state_dict(tmp_path / "model.pt")["weight"], module.weight)


@pytest.mark.parametrize("content", [Hostile(), {"state_dict": {"x": Hostile()}}])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "model.pth")
    words = "holds more than tensors and is not loaded: .* save its state_dict"
    with pytest.raises(WeightsError, match=words) as caught:
        read_state_dict(tmp_path / "model.pth")
    assert "\n" not in str(caught.value)
    (tmp_path / "model.pth").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(WeightsError, match=words):
        read_state_dict(tmp_path / "model.pth")


def test_a_pickled_module_is_not_loaded(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="Load it once where it is trusted, and save its state_dict"):
        read_state_dict(tmp_path / "model.pth")


def test_code_in_a_torchscript_archive_is_not_run(tmp_path: Path) -> None:
    script(tmp_path / "model.pt", nn.Linear(2, 2))
    rewrite(tmp_path / "model.pt", {"/data.pkl": pickle.dumps(Hostile(), protocol=2)})
    with pytest.raises(WeightsError, match="holds more than tensors"):
        read_state_dict(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02}",
        b"\x80\x02.",
        b"no pickle",
        pickle.dumps([1, 2], protocol=2),
        b"\x80\x02ctorch\nFloatStorage\nq\x00.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nK\x01\x85R.",
        b"\x80\x02c__torch__\nA\n)\x81K\x01b.",
    ],
)
def test_a_damaged_torchscript_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    script(tmp_path / "model.pt", nn.Linear(2, 2))
    rewrite(tmp_path / "model.pt", {"/data.pkl": content})
    with pytest.raises(WeightsError, match=r"model\.pt") as caught:
        read_state_dict(tmp_path / "model.pt")
    assert "\n" not in str(caught.value)


def test_tensors_beyond_their_storage_are_refused(tmp_path: Path) -> None:
    script(tmp_path / "model.pt", nn.Linear(2, 2))
    rewrite(tmp_path / "model.pt", {"/data/0": b"\0" * 8, "/data/1": b"\0" * 4})
    with pytest.raises(WeightsError, match=r"model\.pt is damaged"):
        read_state_dict(tmp_path / "model.pt")


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors", "model.pt"])
@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_files_that_end_early_are_refused(tmp_path: Path, name: str, kept: float) -> None:
    path = tmp_path / name
    if name == "model.pt":
        script(path, nn.Linear(2, 2))
    elif name == "model.pth":
        torch.save(STATE, path)
    else:
        safetensors.torch.save_file(STATE, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(WeightsError) as caught:
        read_state_dict(path)
    assert str(caught.value) == f"{path} is damaged, ends early or is no checkpoint. Fetch it again."


def test_text_is_no_checkpoint(tmp_path: Path) -> None:
    for text in ("", "abc", "no checkpoint\n"):
        (tmp_path / "model.pth").write_text(text)
        with pytest.raises(WeightsError, match="damaged, ends early or is no checkpoint|holds more than tensors"):
            read_state_dict(tmp_path / "model.pth")


@pytest.mark.parametrize("content", [{"weights": {}}, {"state_dict": [1]}, {"state_dict": {"x": 1}}, {}, [STATE]])
def test_files_without_tensors_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="no tensors under the key 'state_dict'"):
        read_state_dict(tmp_path / "model.pth")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("model.pth", "model.safetensors"):
        with pytest.raises(WeightsError, match=f"{name} is missing"):
            read_state_dict(tmp_path / name)
    with pytest.raises(WeightsError, match=r"Cannot read .*: Is a directory\."):
        read_state_dict(tmp_path)
