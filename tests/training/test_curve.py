"""The picture of the losses."""

import sys
from pathlib import Path

import pytest

from topicgen.errors import UserError
from topicgen.training.curve import draw_losses

HISTORY = [{"step": s, "loss": 3 / s, **({"validation_loss": 3 / s + 0.1} if s % 5 == 0 else {})} for s in range(1, 41)]


def pixels(path: Path) -> bytes:
    from matplotlib.image import imread

    image = imread(path)
    assert image.shape == (675, 1200, 4)
    return bytes(image.tobytes())


def test_picture_shows_what_is_finite(tmp_path: Path) -> None:
    draw_losses(HISTORY, tmp_path / "a.png")
    draw_losses([*HISTORY, {"step": 40, "loss": float("nan"), "validation_loss": float("inf")}], tmp_path / "b.png")
    assert pixels(tmp_path / "a.png") == pixels(tmp_path / "b.png")
    draw_losses([{"step": row["step"], "loss": row["loss"]} for row in HISTORY], tmp_path / "c.png")
    assert pixels(tmp_path / "a.png") != pixels(tmp_path / "c.png")


@pytest.mark.parametrize(
    "history",
    [
        [],
        [{"step": 1, "loss": 2.0}],
        [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 2.0}],
        [{"step": 1, "loss": float("nan")}],
        [{"step": 5, "validation_loss": 1.0}],
    ],
)
def test_short_histories_are_drawn(tmp_path: Path, history: list[dict[str, float]], recwarn: object) -> None:
    path = tmp_path / "loss.png"
    path.write_text("old")
    draw_losses(history, path)
    pixels(path)
    assert list(recwarn) == []  # type: ignore[call-overload]


def test_drawing_needs_no_display_and_no_pyplot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    draw_losses(HISTORY, tmp_path / "a.png")
    assert "matplotlib.pyplot" not in sys.modules


def test_picture_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"loss\.png: cannot be written: No such file"):
        draw_losses(HISTORY, tmp_path / "missing" / "loss.png")
