"""Layers with frozen weights in, layers of which each process keeps a share out: PyTorch's FSDP2 (Zhao et al. 2023).

A layer's weights are gathered when it is computed, in either pass, and freed after it; the next layer's come meanwhile.
Every gather needs all processes, so all compute the same number of packs.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from topicgen.llama import fp8
from topicgen.training.distributed import Group
from topicgen.training.llama import Frozen, Layer, PackedLlama
from topicgen.training.packing import Fill, Pack, pack
from topicgen.training.rows import TokenRow


class Shared(torch.nn.Module):
    """The frozen weights of a layer as parameters without gradients: what FSDP shares out and gathers."""

    def __init__(self, frozen: Frozen) -> None:
        super().__init__()
        self._scaled = [isinstance(weight, fp8.Scaled) for weight in frozen]
        self._parts = torch.nn.ParameterList(
            torch.nn.Parameter(part, requires_grad=False)
            for weight in frozen
            for part in (weight if isinstance(weight, fp8.Scaled) else [weight])
        )

    def forward(self) -> Frozen:
        """The weights, whole while the layer is computed."""
        parts = iter(self._parts)
        made: list[Any] = [fp8.Scaled(*islice(parts, 4)) if scaled else next(parts) for scaled in self._scaled]
        return Frozen(*made)


def all_processes(device: torch.device) -> DeviceMesh:
    """The processes of the run."""
    return init_device_mesh(device.type, (Group.current().size,))


def share_layer(layer: Layer, mesh: DeviceMesh) -> Layer:
    """Keeps this process's share of the layer's weights, and lets go of the rest."""
    from torch.distributed.fsdp import fully_shard  # slow to import, and needed only here

    fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    return layer


def share_model(model: PackedLlama, mesh: DeviceMesh) -> PackedLlama:
    """Makes one whole of the shared layers, so that a layer is gathered while the one before it is computed.

    The adapter stays with every process; its gradients are summed by ``Group.add_up``.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    fully_shard(model, mesh=mesh, ignored_params=set(model.adapter.parameters()))
    register_fsdp_forward_method(model, "logits")
    return model


def evened(
    own: Sequence[Pack], prefix: Sequence[int], row: TokenRow, fill: Fill | None, device: torch.device
) -> list[Pack]:
    """This process's packs and, where others have more, packs of some row that count nothing."""
    missing = int(Group.current().most(len(own), device)) - len(own)
    if not missing:
        return list(own)
    idle = pack(prefix, [row], fill)
    return [*own, *[replace(idle, weights=torch.zeros_like(idle.weights))] * missing]
