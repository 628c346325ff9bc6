import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from sitsinfer import device
from sitsinfer.device import check_numbers, keep, place, resolve_device, resolve_precision
from sitsinfer.errors import DeviceError, WeightsError


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has loaded nothing yet."""
    monkeypatch.setattr(device, "_kept", {})


def test_devices_and_precisions_have_names() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto").split(":")[0] in ("cpu", "cuda", "mps")
    assert resolve_precision("auto", "cpu") == "fp32"
    for name in ("tpu", "cuda:999", "cuda:x", "cpu:1"):
        with pytest.raises(DeviceError, match=f"no device '{name}' here. Choose auto, cpu"):
            resolve_device(name)
    with pytest.raises(DeviceError, match=r"no precision 'fp8'\. Choose auto, fp32, bf16, fp16"):
        resolve_precision("fp8", "cpu")


def test_a_process_keeps_the_model_it_has_used_last() -> None:
    loaded: list[str] = []

    def use(name: str) -> str:
        return keep(name, lambda: loaded.append(name) or name.upper())

    assert [use(name) for name in ("a", "a", "b", "b", "a")] == ["A", "A", "B", "B", "A"]
    assert loaded == ["a", "b", "a"]


def test_a_model_is_gone_before_the_next_is_loaded() -> None:
    keep("a", lambda: "A")
    assert keep("b", lambda: list(device._kept)) == []


def test_a_model_that_does_not_load_leaves_none() -> None:
    keep("a", lambda: "A")
    with pytest.raises(ZeroDivisionError):
        keep("b", lambda: 1 // 0)
    assert keep("b", lambda: "B") == "B"


def test_threads_that_want_a_model_at_once_load_it_once() -> None:
    loaded: list[int] = []

    def load() -> str:
        time.sleep(0.02)
        loaded.append(1)
        return "A"

    threads = [threading.Thread(target=keep, args=("a", load)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 1


def test_threads_are_set_whenever_a_model_is_used() -> None:
    before = torch.get_num_threads()
    try:
        for count in (2, 3):
            keep("a", lambda: "A", threads=count)
            assert torch.get_num_threads() == count
        keep("a", lambda: "A")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_network_in_its_place_predicts() -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, (1, 2)), nn.Dropout())
    kernels = module[0].weight.clone()
    assert place(module, torch.device("cpu"), "bf16") is module
    assert not module[1].training
    assert module[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert module[0].weight.dtype == torch.float32
    assert torch.equal(module[0].weight, kernels)


def test_only_float32_on_a_gpu_is_made_exact() -> None:
    switches = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [switch.allow_tf32 for switch in switches]
    try:
        for name, precision, exact in (("cpu", "fp32", False), ("cuda", "bf16", False), ("cuda", "fp32", True)):
            for switch in switches:
                switch.allow_tf32 = True
            place(nn.Identity(), torch.device(name), precision)  # no weights, so that no GPU is needed
            assert [switch.allow_tf32 for switch in switches] == [not exact] * 2
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(strange: float) -> None:
    values = np.zeros((2, 3), np.float32)
    check_numbers(values, "tiny", "fp16")
    values[1, 2] = strange
    with pytest.raises(WeightsError, match=r"'tiny' gives values that are not numbers in fp32\. Fetch the model again"):
        check_numbers(values, "tiny", "fp32")
    with pytest.raises(WeightsError, match=r"gives scores that are not numbers in fp16\. Choose precision fp32"):
        check_numbers(values, "tiny", "fp16", "scores")
