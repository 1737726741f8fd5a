"""The templates of own parts in the page: each is chosen, trained with and sampled."""

import sys
from pathlib import Path
from typing import Any

import pytest

from fokker.cli.main import main
from fokker.machine.files import read_json
from pages import write_code
from tiny_runs import TINY

SMALL = [override for override in TINY if not override.startswith("network.")]
MODULES = ("my_nets", "my_sdes", "my_weightings", "my_samplers", "my_rings")
ALLOWED = f"allow_targets=[{','.join(MODULES)}]"
USED: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "network": (("network=plain", "network.width=8"), {"network._target_": "my_nets.Plain"}),
    "sde": (("sde=linear", "sde.rate=3"), {"sde.rate": 3}),
    "weighting": (("weighting=power", "weighting.p=1"), {"weighting.p": 1}),
    "sampler": (("sampler=relaxed", "network=exact"), {"sampler._target_": "my_samplers.Relaxed"}),
    "data set": (("data=circle",), {"data._target_": "my_rings.Circle"}),
    "formulation": (
        ("formulation=mine",),
        {"sde._target_": "my_sdes.Linear", "weighting.p": 1.5, "grid._target_":
         "fokker.diffusion.grids.Geometric"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", USED)
def test_a_template_is_an_option_like_any_other(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    from omegaconf import OmegaConf

    write_code("own_parts.md", workdir)
    monkeypatch.syspath_prepend(str(workdir))
    for name in MODULES:
        sys.modules.pop(name, None)
    typed, expected = USED[what]
    small = [*SMALL, "evaluation.figures=false", "hydra.run.dir=here"]
    monkeypatch.setattr("sys.argv", ["fokker", "--config-dir", "my_conf", *small, ALLOWED, *typed])
    main()
    config = OmegaConf.load("here/config.yaml")
    assert {key: OmegaConf.select(config, key) for key in expected} == expected
    assert read_json(Path("here/run.json"))["status"] == "completed"
    assert read_json(Path("here/metrics.json"))["sliced_w2"] > 0
