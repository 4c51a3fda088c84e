"""Which examples a step learns from, and how fast: as asked, and the same again for the same seed."""

import itertools
from typing import Any

import pytest
import torch

from topicgen.training.schedule import Schedule
from topicgen.training.settings import TrainingSettings

EXAMPLES, PER_STEP = 23, 4
STEPS = 6  # of one pass; the last has the three that are left


def schedule(examples: int = EXAMPLES, per_step: int = PER_STEP, **settings: Any) -> Schedule:
    lengths = tuple(10 + 7 * i % 50 for i in range(examples))
    return Schedule(lengths, per_step, TrainingSettings(**settings))


def rates(**settings: Any) -> list[float]:
    made = schedule(learning_rate=1.0, **settings)
    return [made.learning_rate(step) for step in range(made.steps)]


def order(made: Schedule, epoch: int) -> list[int]:
    return [i for step in range(epoch * STEPS, (epoch + 1) * STEPS) for i in made.chosen(step)]


def test_each_pass_sees_every_example_once() -> None:
    made = schedule(num_train_epochs=3)
    assert made.steps == 3 * STEPS
    for epoch in range(3):
        assert sorted(order(made, epoch)) == list(range(EXAMPLES))
    assert [len(made.chosen(step)) for step in range(STEPS)] == [4, 4, 4, 4, 4, 3]


def test_passes_have_orders_of_their_own_that_the_seed_decides() -> None:
    made, again, other = schedule(seed=5), schedule(seed=5), schedule(seed=50)
    assert order(made, 0) != order(made, 1)
    assert [order(made, epoch) for epoch in range(3)] == [order(again, epoch) for epoch in range(3)]
    assert order(made, 0) != order(other, 0)


def test_steps_have_texts_of_the_same_lengths() -> None:
    lengths = tuple(torch.randint(50, 400, (1000,), generator=torch.Generator().manual_seed(0)).tolist())
    made = Schedule(lengths, 64, TrainingSettings(num_train_epochs=2))
    sizes = [sum(lengths[i] for i in made.chosen(step)) for step in range(31) if step != 15]  # which has what is left
    assert max(sizes) < 1.02 * min(sizes)
    # each text may stand beside nearly any other: the step of one says nothing of that of its neighbour in length
    steps = {i: step for step in range(15) for i in made.chosen(step)}
    ordered = [steps[i] for i in sorted(steps, key=lambda i: lengths[i])]
    assert sum(a == b for a, b in itertools.pairwise(ordered)) < 0.15 * len(ordered)


@pytest.mark.parametrize(
    ("epochs", "examples", "per_step", "steps"),
    [(0.5, 23, 4, 3), (0.4, 23, 4, 3), (1, 23, 4, 6), (2.5, 24, 4, 15), (0.001, 23, 4, 1), (1, 3, 64, 1)],
)
def test_steps_of_a_part_of_a_pass_are_rounded_up(epochs: float, examples: int, per_step: int, steps: int) -> None:
    assert schedule(examples, per_step, num_train_epochs=epochs).steps == steps


def test_rounding_errors_add_no_step() -> None:
    assert schedule(400, 4, num_train_epochs=1.1).steps == 110  # 100 * 1.1 is 110.00000000000001


def test_max_steps_overrides_the_passes() -> None:
    assert schedule(max_steps=2, num_train_epochs=3).steps == 2
    made = schedule(max_steps=50)
    assert made.steps == 50
    assert len(made.chosen(49)) == 4  # in the ninth pass


def test_the_rate_rises_over_the_warm_up() -> None:
    for kind in ("linear", "cosine", "constant"):
        assert rates(max_steps=20, warmup_steps=4, lr_scheduler_type=kind)[:4] == [0.25, 0.5, 0.75, 1.0]


def test_the_rate_falls_as_a_line() -> None:
    assert rates(max_steps=14, warmup_steps=4)[4:] == pytest.approx([k / 10 for k in range(10, 0, -1)])


def test_the_rate_falls_as_a_cosine() -> None:
    fallen = rates(max_steps=14, warmup_steps=4, lr_scheduler_type="cosine")[4:]
    assert fallen[0] == pytest.approx(1)
    assert fallen[5] == pytest.approx(0.5)
    assert fallen == sorted(fallen, reverse=True)
    assert fallen[2] + fallen[8] == pytest.approx(1)
    assert 0 < fallen[-1] < 0.05


def test_the_rate_may_stay() -> None:
    assert rates(max_steps=6, warmup_steps=0, lr_scheduler_type="constant") == [1.0] * 6


def test_a_run_shorter_than_its_warm_up_only_rises() -> None:
    assert rates(max_steps=3, warmup_steps=5) == pytest.approx([0.2, 0.4, 0.6])


def test_evaluations_are_ten_a_run_unless_asked_otherwise() -> None:
    assert schedule(max_steps=100).every(None) == 10
    assert schedule(max_steps=3).every(None) == 1
    assert schedule(max_steps=100).every(7) == 7
