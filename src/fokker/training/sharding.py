"""Weights spread over ranks: each rank holds a part of every weight (FSDP2's `fully_shard`)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.optim import Optimizer

from fokker.machine.ranks import Ranks, local


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Spread a module's weights over ranks; entries of its module lists are gathered one by one."""
    from torch.distributed.fsdp import fully_shard

    blocks = [b for m in module.modules() if isinstance(m, nn.ModuleList) for b in m]
    inner = {id(part) for block in blocks for part in block.modules() if part is not block}
    for block in blocks:
        if id(block) not in inner and any(True for _ in block.parameters()):
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(module, mesh=mesh, reshard_after_forward=True)


def norm_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm of all tensors together, a float64 scalar on their device."""
    norms = torch.stack(torch._foreach_norm(list(tensors)))
    whole: Tensor = torch.linalg.vector_norm(norms, dtype=torch.float64)
    return whole


def total_norm(tensors: Sequence[Tensor], ranks: Ranks) -> Tensor:
    """Return the norm of all tensors together, float64; some may be spread over the ranks."""
    spread = [local(t) for t in tensors if hasattr(t, "to_local")]
    kept = [t for t in tensors if not hasattr(t, "to_local")]
    square = torch.zeros((), dtype=torch.float64, device=local(tensors[0]).device)
    if spread:
        square = square + norm_of(spread) ** 2
    square = ranks.total_there(square)
    if kept:
        square = square + norm_of(kept) ** 2
    return square.sqrt()


def one_by_one(optimizer: Optimizer) -> None:
    """Let an optimizer of both spread and whole weights update them one after the other.

    An update of all at once, as that of fused Adam, refuses the mixture.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    if len({hasattr(weight, "to_local") for weight in weights}) > 1:
        for group in optimizer.param_groups:
            group.update({key: False for key in ("fused", "foreach") if key in group})


def average_whole(parameters: Sequence[nn.Parameter], ranks: Ranks) -> None:
    """Average over the ranks the gradients of whole parameters, such as those of a weighting."""
    for parameter in parameters:
        if parameter.grad is not None and not hasattr(parameter.grad, "to_local"):
            parameter.grad.copy_(ranks.total_there(parameter.grad) / ranks.size)
