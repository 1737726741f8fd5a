"""Lower bounds of the memory and the disk that a run needs, checked before it begins.

All numbers are below what is really needed, so that no run is refused that would work.
"""

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from fokker.experiment.experiment import Experiment
from fokker.experiment.trial import check_step, copied
from fokker.formulation import Formulation
from fokker.machine.memory import DOUBLE, SINGLE, amount, check_fits, whole_memory
from fokker.training.validation import as_in_use

# The bytes of a number that was computed in float32 and is stored in float64, compressed.
STORED = 3


def check_needs(experiment: Experiment, ranks: int) -> None:
    """Refuse a run whose weights, batch or samples do not fit into the whole memory.

    Args:
        experiment: the experiment, whose model is built and not yet on its device.
        ranks: the number of ranks that train on this machine.
    Raises:
        ValueError: if they do not fit; says the key, what is needed and what there is.
    """
    count = experiment.plan.num_samples
    numbers = count * math.prod(experiment.model.data.shape)
    # Batches, the same in one piece, and in the data's units; then these with as many points of the
    # law, and a sorted copy of one of the two.
    size = numbers * (3 * DOUBLE if experiment.model.data.fresh else 2 * SINGLE + DOUBLE)
    check_fits("evaluation.num_samples", count, size, "the samples")
    if not experiment.origin.is_ready:
        _check_training(experiment, ranks)
        check_step(experiment.origin)


def _check_training(experiment: Experiment, ranks: int) -> None:
    """Refuse weights or a batch that do not fit into the memory of the device."""
    model, engine, device = experiment.model, experiment.task.engine, experiment.task.device
    batch, all_ranks = model.data.batch_size, max(ranks, experiment.task.ranks.size)
    on_host = batch * math.prod(model.data.shape) * 2 * SINGLE * ranks // all_ranks
    check_fits("data.batch_size", batch, on_host, "a batch and its noise")
    parameters = sum(p.numel() for p in model.network.parameters())
    kept = 1 + 1 + len(_moments(experiment)) + len(experiment.task.training.ema.half_lives)
    held = parameters * SINGLE * kept
    if engine.is_sharded_over(all_ranks):
        held //= all_ranks
    key, value = largest(experiment.task.config["network"])
    whole, copies, where = whole_memory(), ranks, "this machine's memory"
    if device.type == "cuda":
        whole, copies, where = torch.cuda.get_device_properties(device).total_memory, 1, "the GPU"
    what = f"{parameters:,} parameters with gradients, moments and averages"
    check_fits(key, value, copies * held, what, whole, where)
    share = batch // all_ranks
    rows = share // engine.parts(batch, all_ranks)
    of_row = saved_bytes(model) // (1 if engine.precision == "32-true" else 2)
    if copies * (held + rows * of_row) > whole:
        most = (whole // copies - held) // of_row
        fit = next((n for n in range(min(most, share), 0, -1) if share % n == 0), 0)
        remedy = f"say trainer.device_batch_size={fit}" if fit else "use a smaller network"
        name = "data.batch_size" if rows == share else "trainer.device_batch_size"
        raise ValueError(
            f"{name} must fit into {where} of {amount(whole)}, and {rows:,} at once need at least "
            f"{amount(copies * (held + rows * of_row))} for a step, {amount(of_row)} each; {remedy}"
        )


def _moments(experiment: Experiment) -> list[str]:
    """Name what the optimizer keeps of each weight; `step` is one number for a whole tensor."""
    return [name for name in experiment.task.training.schedule.state_names() if name != "step"]


def saved_bytes(model: Formulation) -> int:
    """Return the bytes that autograd keeps of one more row on its way through the loss.

    They are 0 if the model cannot be tried.
    """

    def kept(rows: int) -> int:
        found: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
            return tensor

        draws = tried.draws(0, range(rows), tried.fetch(0, rows))
        with saved_tensors_hooks(pack, lambda tensor: tensor):
            held = tried.losses(draws)
        del held  # Kept until here, so that no place in memory is used twice.
        return sum(found.values())

    try:
        tried = copied(model)
        with torch.random.fork_rng(devices=[]), as_in_use(tried):
            return max(0, kept(3) - kept(2))
    except Exception:  # The training itself reports what a user's network cannot do.
        return 0


def check_room(path: Path, experiment: Experiment) -> None:
    """Refuse samples that are larger than the free space of the disk.

    Args:
        path: the path of the run's folder, which need not exist.
        experiment: the experiment that is to be recorded there.
    Raises:
        ValueError: if they do not fit; says what is free.
    """
    count = experiment.plan.num_samples
    size = count * math.prod(experiment.model.data.shape) * STORED
    place = next(p for p in (path, *path.resolve().parents) if p.is_dir())
    free = shutil.disk_usage(place).free
    if size > free:
        raise ValueError(
            f"evaluation.num_samples must leave room on the disk, and {count:,} need at least "
            f"{amount(size)} in {path}, where {amount(free)} are free; make it smaller, or give "
            "another folder by output_dir"
        )


def largest(node: Mapping[str, object], group: str = "network") -> tuple[str, int]:
    """Return the key with the largest whole number in a network's node, and the number."""
    numbers = {f"{group}.{k}": v for k, v in node.items() if type(v) is int}
    key = max(numbers, key=lambda name: numbers[name], default=group)
    return key, numbers.get(key, 1)


def check_network(
    make: Callable[..., nn.Module], node: Mapping[str, object], copies: int, **given: object
) -> nn.Module:
    """Make a network, unless its weights are larger than the memory.

    It is first made on torch's meta device, where tensors have no values and take no memory.

    Args:
        make: the function that makes the network.
        node: the node of the configuration that describes it.
        copies: the copies of the weights that memory must have room for.
        given: the arguments of `make`.
    Raises:
        ValueError: if they do not fit; says the key, what is needed and what there is.
    """
    key, value = largest(node)
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            weights = [p.numel() * p.element_size() for p in make(**given).parameters()]
    except Exception:  # `make` below succeeds without the meta device, or says why not.
        weights = []
    check_fits(key, value, copies * sum(weights), "the weights and their averages")
    return make(**given)
