"""Weights that are spread over ranks: each holds a part of every one (FSDP2's `fully_shard`)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.optim import Optimizer

from fokker.ranks import Ranks, local


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Spread a module's weights; the entries of its lists, its blocks, are gathered one by one."""
    from torch.distributed.fsdp import fully_shard

    blocks = [b for m in module.modules() if isinstance(m, nn.ModuleList) for b in m]
    inner = {id(part) for block in blocks for part in block.modules() if part is not block}
    for block in blocks:
        if id(block) not in inner and any(True for _ in block.parameters()):
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(module, mesh=mesh, reshard_after_forward=True)


def total_norm(gradients: Sequence[Tensor], ranks: Ranks) -> float:
    """The norm of all gradients together, some of which may be spread over the ranks."""
    norms = list(map(float, torch._foreach_norm([local(g) for g in gradients])))
    spread = [hasattr(g, "to_local") for g in gradients]
    here = sum(n**2 for n, is_spread in zip(norms, spread) if is_spread)
    everywhere = float(ranks.total(torch.tensor(here, dtype=torch.float64)))
    return math.sqrt(everywhere + sum(n**2 for n, is_spread in zip(norms, spread) if not is_spread))


def one_by_one(optimizer: Optimizer) -> None:
    """Let an optimiser of both kinds of weights take them one after the other.

    What takes all of them at once, as fused Adam does, refuses the mixture.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    if len({hasattr(weight, "to_local") for weight in weights}) > 1:
        for group in optimizer.param_groups:
            group.update({key: False for key in ("fused", "foreach") if key in group})


def average_whole(parameters: Sequence[nn.Parameter], ranks: Ranks) -> None:
    """Average the gradients of what is not spread, such as a weighting's, over the ranks."""
    for parameter in parameters:
        if parameter.grad is not None and not hasattr(parameter.grad, "to_local"):
            parameter.grad.copy_(ranks.total(parameter.grad) / ranks.size)
