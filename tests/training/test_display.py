"""What people are told of a run."""

import time

import pytest
import torch

from topicgen.training.display import Display


def test_time_left_goes_by_the_steps_of_this_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    said: list[str] = []
    display = Display(said.append, visible=False, device=torch.device("cpu"))
    now = 500.0  # the model was loaded
    with display.over(200):
        for step in (109, 110):  # continued from a checkpoint
            now += 2.0
            display.show({"step": step, "loss": 1.0, "samples": 4, "seconds": 2.0, "tokens": 100})
    assert said[-1].startswith("step 110 of 200: loss 1.000, 2.0 samples/s, 50 tokens/s, ")
    assert said[-1].endswith(" GB, 180 s left")
