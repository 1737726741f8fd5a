"""The state of torch and hydra in a calling script, put aside for a run and brought back."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.version import VersionBase
from omegaconf.basecontainer import BaseContainer

from fokker.machine.environment import without_empty


@contextmanager
def as_at_start() -> Iterator[None]:
    """Put torch and hydra into the state of a new process, in the block.

    The default dtype and device, and the modes of gradients and of autocast, are torch's own. A
    running application of hydra's is put aside. It is brought back after the block, and so are
    the resolvers.

    Raises:
        ValueError: for a variable of the environment that must be a number and is none.
    """
    dtype = torch.get_default_dtype()
    singletons, resolvers = dict(Singleton._instances), dict(BaseContainer._resolvers)
    with without_empty(), ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        for of_the_application in (GlobalHydra, HydraConfig, VersionBase):
            Singleton._instances.pop(of_the_application, None)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            Singleton._instances.update(singletons)
            BaseContainer._resolvers.clear()
            BaseContainer._resolvers.update(resolvers)
