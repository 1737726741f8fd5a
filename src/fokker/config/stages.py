"""The stages of a training: the configurations of the models that a model is made from."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fokker.config.arguments import shown
from fokker.config.instantiate import Builder
from fokker.config.recorded import LIMITS
from fokker.formulation import Formulation
from fokker.machine.own_code import own_code
from fokker.store.identity import KEYS, OF_ANY

#: More stages than anyone trains: such a chain has no end.
MOST = 100
#: Keys for the source of the last stage's weights, which say nothing of the stages before.
_OF_THE_LAST = ("checkpoint", "init_from", "continue_from")


def stages(config: DictConfig, allow_targets: Sequence[str]) -> list[DictConfig]:
    """Return the configurations of the stages before a model, the first stage first.

    Args:
        config: the configuration of the model, composed or from its description.
        allow_targets: the packages of the user's own.
    Raises:
        ValueError: if `Formulation.earlier` gives anything but changes of the configuration that
            lead to a first stage.
    """
    chain = [_in_full(config)]
    while (before := _before(chain[-1], Builder(allow_targets))) is not None:
        if before in chain or len(chain) > MOST:
            what = "comes back to one that it has passed" if before in chain else "has no end"
            raise ValueError(
                f"{before.formulation._target_}.earlier must lead to a first stage, of which it "
                f"gives None, and {what}; let it do so"
            )
        chain.append(before)
    return chain[:0:-1]


def _in_full(config: DictConfig) -> DictConfig:
    """Return a configuration for a full training from initial weights."""
    first = copy.deepcopy(config)
    # Limits belong to the last stage; the stages before it are trained in full.
    for key in (*_OF_THE_LAST, *LIMITS):
        if OmegaConf.select(first, key) is not None:
            OmegaConf.update(first, key, None)
    if first.get("retrain"):
        first.retrain = False
    return first


def _before(config: DictConfig, build: Builder) -> DictConfig | None:
    """Return the configuration of the stage before; None if there is none."""
    family = build.know(config.formulation)
    kind = build.gives(config.formulation, "formulation")
    if not isinstance(kind, type) or not issubclass(kind, Formulation):
        return None
    plain: Any = OmegaConf.to_container(config, resolve=True)
    said = f"{kind.__name__}.earlier"
    with own_code(f"{said} cannot be asked", "fix it"):
        changes: object = kind.earlier(plain)
    if changes is None:
        return None
    rule = f"{said} must give changes of the configuration, such as {{'formulation.stage': 1}}"
    if not isinstance(changes, Mapping) or not all(isinstance(key, str) for key in changes):
        raise ValueError(f"{rule}, got {shown(changes)}; return a dict, or None")
    changeable = {*family.data, *family.parts, *OF_ANY}
    first = copy.deepcopy(config)
    for key, value in changes.items():
        if key.partition(".")[0] not in changeable and key not in KEYS:
            raise ValueError(
                f"{rule}, of what a model depends on, got {key}; change keys of "
                f"{', '.join(sorted(changeable))}, or {', '.join(KEYS)}"
            )
        if key in changeable and not isinstance(value, Mapping):
            raise ValueError(
                f"{rule}, by the keys of a group, got {key}: {shown(value)}, and options have no "
                f"names any more; give {key}._target_ and what else differs"
            )
        try:  # Names that the class does not know are refused where it is built.
            OmegaConf.update(first, key, value, force_add=True)
        except OmegaConfBaseException as error:
            why = str(error).splitlines()[0]
            raise ValueError(f"{rule}, got {key}: {shown(value)}: {why}; fix it") from error
    return first
