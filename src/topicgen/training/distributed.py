"""Several processes of one run, as torchrun starts them: each computes a share of every step."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True, slots=True)
class Group:
    """This process among those of a run."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "Group":
        """The group that was started, or one process alone."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else cls()

    def add_up(self, parameters: Sequence[torch.nn.Parameter], *values: torch.Tensor) -> None:
        """Sums the gradients, and some numbers, over all processes, in one exchange."""
        if self.size == 1:
            return
        tensors = [p.grad for p in parameters if p.grad is not None]
        tensors += values
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, summed in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(summed.view_as(tensor))

    def most(self, value: float, device: torch.device) -> float:
        """The largest of the processes' values."""
        if self.size == 1:
            return value
        found = torch.tensor(value, dtype=torch.float64, device=device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return found.item()

    def first(self, values: torch.Tensor) -> torch.Tensor:
        """The first process's values, for all: what they decide must not go by the last bit."""
        if self.size > 1:
            dist.broadcast(values, 0)
        return values


def join() -> torch.device:
    """Joins the processes that torchrun started, if it did; gives the device of this one."""
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if "WORLD_SIZE" in os.environ and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def leave() -> None:
    """Ends the group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()
