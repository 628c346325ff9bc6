from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sitsinfer import weights
from sitsinfer.errors import OutputError, TrainingError
from sitsinfer.training.loop import Options, _schedule, build, check_dates, train
from sitsinfer.weights import Card

OPTIONS = Options(name="line", architecture="line", hyperparameters={}, steps=12, rate=0.1, validate_every=4)


@dataclass
class Line:
    """Teaches one number to become 3, from noisy draws of it."""

    options: Options
    card: Card
    measure: str = "closeness"
    fingerprint: str = "noise around 3"

    def __post_init__(self) -> None:
        self.module = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.module.weight)

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        return [(list(self.module.parameters()), 1.0)]

    def loss(self, rng: np.random.Generator, step: int) -> Tensor:
        assert self.module.training
        return ((self.module.weight - 3 - rng.normal() * 0.1) ** 2).sum()

    def validate(self) -> float:
        return 1 / (1 + abs(self.module.weight.item() - 3))

    def finish(self, best: Mapping[str, Tensor]) -> Card:
        return replace(self.card, title=f"{best['weight'].item():.6f}")


@pytest.fixture
def line() -> Callable[..., Line]:
    card, _ = weights.load_card("utae-demo")
    return lambda **options: Line(replace(OPTIONS, **options), card)


class KilledError(Exception):
    pass


def kill(at: int) -> Callable[[int, float], None]:
    def progress(step: int, loss: float) -> None:
        if step == at:
            raise KilledError

    return progress


def test_the_weights_of_the_best_score_are_written(line: Callable[..., Line], tmp_path: Path) -> None:
    course = line(steps=40)
    scores = []
    validate = course.validate
    course.validate = lambda: scores.append(validate()) or scores[-1]
    card = train(lambda: course, tmp_path / "model")
    assert len(scores) == 10
    assert abs(float(card.title) - 3) == pytest.approx(1 / max(scores) - 1, abs=1e-5)
    assert card.description.endswith(f"Validation closeness {max(scores):.3f}.")
    assert weights.load_card(str(tmp_path / "model"))[0] == card
    assert not (tmp_path / "model.partial").exists()


def test_a_run_that_was_killed_ends_as_if_it_was_not(line: Callable[..., Line], tmp_path: Path) -> None:
    train(line, tmp_path / "whole")
    with pytest.raises(KilledError):
        train(line, tmp_path / "killed", progress=kill(7))
    assert not (tmp_path / "killed").exists()
    seen: list[int] = []
    train(line, tmp_path / "killed", progress=lambda step, loss: seen.append(step))
    assert seen[0] == 5
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_checkpoint_of_other_options_is_refused(line: Callable[..., Line], tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(line, tmp_path / "model", progress=kill(5))
    with pytest.raises(TrainingError, match="holds a run of other data or options"):
        train(lambda: line(rate=0.2), tmp_path / "model")
    other = line()
    other.fingerprint = "noise around 4"
    with pytest.raises(TrainingError, match="holds a run of other data or options"):
        train(lambda: other, tmp_path / "model")
    train(lambda: line(rate=0.2), tmp_path / "model", overwrite=True)
    assert (tmp_path / "model" / "model.json").exists()


def test_a_damaged_checkpoint_is_told_in_one_line(line: Callable[..., Line], tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(line, tmp_path / "model", progress=kill(5))
    path = tmp_path / "model.partial" / "checkpoint.pt"
    whole = path.read_bytes()
    for content in (b"", b"abc", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(
            TrainingError, match=r"checkpoint\.pt is damaged .* Set overwrite to begin anew\.$"
        ) as caught:
            train(line, tmp_path / "model")
        assert "\n" not in str(caught.value)
    torch.save({"steps": 3}, path)
    with pytest.raises(TrainingError, match="holds a run of other data"):
        train(line, tmp_path / "model")
    train(line, tmp_path / "model", overwrite=True)


def test_a_model_is_not_replaced_unasked(line: Callable[..., Line], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(OutputError, match="already exists"):
        train(line, tmp_path / "model")


def test_a_place_that_cannot_be_written_is_told_before_training(line: Callable[..., Line], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"^Cannot write a checkpoint to \S+file/model\.partial: .*Not a directory"):
        train(line, tmp_path / "file" / "model", progress=kill(1))
    (tmp_path / "other.partial").touch()
    with pytest.raises(OutputError, match=r"^Cannot write a checkpoint to \S+other\.partial: .*exists"):
        train(line, tmp_path / "other", progress=kill(1))


def test_training_stops_when_nothing_is_learned(line: Callable[..., Line], tmp_path: Path) -> None:
    seen: list[int] = []
    options = {"rate": 0.0, "steps": 100, "validate_every": 2, "patience": 3}
    train(lambda: line(**options), tmp_path / "model", progress=lambda step, loss: seen.append(step))
    assert seen[-1] == 2 + 3 * 2


def test_a_loss_that_is_no_number_stops_the_training(line: Callable[..., Line], tmp_path: Path) -> None:
    course = line()
    course.loss = lambda rng, step: course.module.weight.sum() * torch.nan
    with pytest.raises(TrainingError, match="The loss is nan at step 1"):
        train(lambda: course, tmp_path / "model")


def test_parameters_learn_at_their_share_of_the_rate(line: Callable[..., Line], tmp_path: Path) -> None:
    course = line()
    course.module = nn.Linear(2, 1)
    before = {key: value.clone() for key, value in course.module.state_dict().items()}
    course.rates = lambda: [([course.module.weight], 1.0), ([course.module.bias], 0.25)]
    course.loss = lambda rng, step: course.module.weight.sum() + course.module.bias.sum()
    course.validate = lambda: float(course.module.weight[0, 0] < before["weight"][0, 0])
    course.finish = lambda best: course.card
    train(lambda: course, tmp_path / "model")
    moved = {key: (before[key] - value).mean().item() for key, value in course.module.state_dict().items()}
    assert moved["bias"] == pytest.approx(0.25 * moved["weight"], rel=1e-4)
    assert moved["bias"] > 0.01


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [_schedule(share) for share in np.linspace(0, 1, 101)]
    assert np.argmax(rates) == 5
    assert rates[5] == pytest.approx(1)
    assert 0 < rates[0] < 0.05
    assert rates[-1] == pytest.approx(0)


def test_the_members_of_an_ensemble_learn_together_and_are_written_apart(
    line: Callable[..., Line], tmp_path: Path
) -> None:
    course = line()
    first = course.card.members[0]
    course.card = replace(course.card, members=(replace(first, name="a"), replace(first, name="b")))
    course.module = build(course.card, replace(OPTIONS, architecture="utae", device="cpu"))
    course.loss = lambda rng, step: sum((weights**2).sum() for weights in course.module.parameters())
    course.validate = lambda: 0.5
    kept: dict[str, Tensor] = {}
    course.finish = lambda best: kept.update(best) or course.card
    started = {key: value.clone() for key, value in course.module.state_dict().items()}
    train(lambda: course, tmp_path / "model")
    card, folder = weights.load_card(str(tmp_path / "model"))
    for member, module in zip("ab", weights.load_modules(card, folder), strict=True):
        for key, value in module.state_dict().items():
            assert torch.equal(value, kept[f"{member}.{key}"])
        learned = module.state_dict()["in_conv.conv.conv.0.weight"]
        assert not torch.equal(learned, started[f"{member}.in_conv.conv.conv.0.weight"])
    assert not torch.equal(*(started[f"{member}.in_conv.conv.conv.0.weight"] for member in "ab"))


def test_weights_decay(line: Callable[..., Line], tmp_path: Path) -> None:
    ends = []
    for decay in (0.0, 0.5):
        course = line(weight_decay=decay, steps=4)
        nn.init.ones_(course.module.weight)
        course.loss = lambda rng, step, course=course: course.module.weight.sum() * 0
        train(lambda course=course: course, tmp_path / str(decay))
        ends.append(course.module.weight.item())
    assert ends[0] == 1
    assert 0.7 < ends[1] < 0.95


@pytest.mark.parametrize("dates", [(0, 3), (5, 4)])
def test_numbers_of_dates_that_cannot_be_are_refused(dates: tuple[int, int]) -> None:
    with pytest.raises(TrainingError, match=f"cannot have {dates[0]} to {dates[1]} dates"):
        check_dates(dates)


@pytest.mark.parametrize("code", [-1, 256])
def test_a_code_that_no_class_has_cannot_be_ignored(code: int) -> None:
    with pytest.raises(TrainingError, match=f"ignored label is {code}. Expected a class code from 0 to 255"):
        replace(OPTIONS, ignore_label=code)
