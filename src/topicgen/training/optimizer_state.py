"""An optimiser -> flat tensors and JSON values; the same back into a fresh one."""

from collections.abc import Mapping
from typing import Any

import torch

from topicgen.errors import UserError

_OPTIMIZER = "optimizer"


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The whole state of an optimiser, whatever it nests.

    Returns:
        Its tensors, not copied, by a name that starts with ``optimizer.``; and what else there is, as JSON values
        that name the tensors.
    """
    tensors: dict[str, torch.Tensor] = {}
    return tensors, {"class": type(optimizer).__name__, "state": _flatten(optimizer.state_dict(), _OPTIMIZER, tensors)}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]
) -> None:
    """Gives an optimiser of the same parameters the state that ``flatten_optimizer`` took; tensors are copied.

    Raises:
        UserError: When the state is that of another optimiser, or of other parameters.
    """
    name = type(optimizer).__name__
    if values.get("class") != name:
        found = values.get("class")
        raise UserError(f"the checkpoint holds the state of {found}, and this run uses {name}; set optim as it was")
    try:
        optimizer.load_state_dict(_unflatten(values["state"], tensors))
    except (KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the checkpoint's optimiser state is not one of this model's adapter ({reason})") from None


def _flatten(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """``value`` as JSON; each kind of container is named, since JSON has no tuples and no keys but text."""
    if isinstance(value, torch.Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": [[key, _flatten(item, f"{name}.{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_flatten(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name}: a checkpoint cannot hold a {type(value).__name__}")


def _unflatten(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content].clone()
    if kind == "dict":
        return {key: _unflatten(item, tensors) for key, item in content}
    items = [_unflatten(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
