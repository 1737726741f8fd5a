"""Only what is allowed by name is built from a configuration, wherever in it a target stands."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from fokker.config.instantiate import Builder

LINEAR = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}


def build(node: dict[str, Any], *allow: str) -> Any:
    """The object of a node in a place that says no kind, so that all parts of a model may be."""
    return Builder(allow)(OmegaConf.create(node), "part")


def refused(node: dict[str, Any], *allow: str) -> str:
    with pytest.raises(ValueError, match=r"must name a class in fokker, torch\.nn") as error:
        build(node, *allow)
    message = str(error.value)
    remedies = (
        "allow_targets=[my_package]", "a class where it is defined", "write a dotted name, such as",
        "name a class that is",
    )  # fmt: skip
    assert any(remedy in message for remedy in remedies)
    assert "\n" not in message
    return message


@pytest.fixture
def package(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of the user's in the current folder, which imports what it likes."""
    (workdir / "own_parts.py").write_text(
        "import os\n"
        "import subprocess\n"
        "from subprocess import Popen\n"
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, size: int = 1) -> None:\n"
        "        super().__init__()\n"
        "        self.size = size\n"
        "def make(size: int = 1) -> Net:\n"
        "    return Net(size)\n"
        "instance = Net()\n"
    )
    monkeypatch.syspath_prepend(str(workdir))
    monkeypatch.delitem(sys.modules, "own_parts", raising=False)
    return "own_parts"


@pytest.mark.parametrize(
    "target",
    [
        "torch.load",
        "torch.hub.load",
        "http.server.test",
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "functools.partial",
        "hydra.utils.instantiate",
        # Allowed by their beginning, and not by what they lead to.
        "torch.nn.functional.torch.hub.load",
        "torch.optim.optimizer.torch.load",
        "lightning.pytorch.trainer.trainer.os.system",
        "fokker.launch.job.os.system",
        "fokker.sweeps.running.sys.modules",
        "fokker.store.checkpoints.torch.load",
        # Functions and methods are no classes.
        "fokker.run",
        "fokker.store.checkpoints.read_checkpoint",
        "torch.nn.functional.relu",
        "torch.nn.Module.register_forward_hook",
        "fokker.config.instantiate.Builder.__call__",
        # Modules and instances.
        "torch.nn",
        "fokker.cli",
        "torch.nn.functional.torch.ops",
        "fokker.config.instantiate.ALLOWED",
        # Allowed names are whole parts.
        "fokker_evil.X",
        "torch.nnx",
        "torch.nn_evil.Linear",
        "torch",
        "fokkerx",
        "lightning_fabric.Fabric",
        "",
        ".torch.nn.Linear",
    ],
)
def test_a_target_that_is_not_allowed_is_refused_by_name(target: str, workdir: Path) -> None:
    message = refused({"_target_": target})
    assert "part._target_ must name a class in fokker" in message
    assert f"got {target}" in message


def test_a_refusal_says_what_an_allowed_name_leads_to() -> None:
    message = refused({"_target_": "torch.nn.functional.torch.hub.load"})
    assert "is torch.hub.load" in message


@pytest.mark.parametrize(
    ("node", "place"),
    [
        ({**LINEAR, "bias": {"_target_": "os.system"}}, "part.bias"),
        ({**LINEAR, "bias": [1, {"_target_": "os.system"}]}, "part.bias[1]"),
        ({**LINEAR, "bias": {"a": {"b": [[{"_target_": "os.system"}]]}}}, "part.bias.a.b[0][0]"),
        ({**LINEAR, "bias": {"_target_": "os.system", "_partial_": True}}, "part.bias"),
        ({**LINEAR, "_args_": [{"_target_": "os.system"}]}, "part._args_[0]"),
        ({**LINEAR, "_partial_": True, "bias": {"_target_": "os.system"}}, "part.bias"),
        ({**LINEAR, "_recursive_": False, "bias": {"_target_": "os.system"}}, "part.bias"),
    ],
)
def test_targets_inside_a_node_are_refused_before_anything_is_built(
    node: dict[str, Any], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Any] = []
    monkeypatch.setattr(torch.nn.Linear, "__init__", lambda *_, **__: built.append(1))
    assert f"{place}._target_ must name a class" in refused(node)
    assert built == []


def test_a_target_behind_an_interpolation_is_refused() -> None:
    config = OmegaConf.create({"name": "os.system", "part": {"_target_": "${name}"}})
    with pytest.raises(ValueError, match=r"part\._target_ must name a class .* got os\.system"):
        Builder()(config.part, "part")


def test_a_lambda_or_function_of_an_allowed_package_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fokker.networks.shortcut", lambda: 1, raising=False)
    refused({"_target_": "fokker.networks.shortcut"})
    monkeypatch.setattr("fokker.networks.instance", torch.nn.Linear(1, 1), raising=False)
    refused({"_target_": "fokker.networks.instance"})
    monkeypatch.setattr("fokker.networks.Shell", __import__("subprocess").Popen, raising=False)
    assert "is subprocess.Popen" in refused({"_target_": "fokker.networks.Shell"})


def test_classes_of_the_allowed_packages_are_built() -> None:
    linear = build(LINEAR)
    assert isinstance(linear, torch.nn.Linear)
    assert linear.weight.shape == (3, 2)
    adamw = build({"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.5})
    assert adamw(linear.parameters()).defaults["lr"] == 0.5
    embedding = build({"_target_": "torch.nn.Embedding", "num_embeddings": 4, "embedding_dim": 1})
    assert embedding.weight.shape == (4, 1)
    law = build({"_target_": "fokker.distributions.two_moons", "std": 0.25})  # a listed function
    assert law.dim == 2


def test_nested_parts_are_built_first() -> None:
    node = {
        "_target_": "fokker.diffusion.weighting.Learned",
        "base": {"_target_": "fokker.diffusion.weighting.P2", "k": 2, "gamma": 1},
    }
    weighting = build(node)
    sigma = torch.tensor([0.5], dtype=torch.float64)
    assert float(weighting(sigma, None)) == pytest.approx(4 / (2 + 4))


def test_a_users_own_class_needs_its_package_in_the_list(package: str) -> None:
    node = {"_target_": f"{package}.Net", "size": 5}
    assert package not in sys.modules
    refused(node)
    refused(node, "another")
    refused(node, package[:-1])
    refused(node, f"{package}.other")
    assert package not in sys.modules  # A refused name is not even imported.
    assert build(node, package).size == 5
    assert build(node, "another", package).size == 5
    assert build({**node, "_target_": f"{package}.make"}, package).size == 5


def test_an_own_package_allows_its_own_and_not_what_it_imports(package: str) -> None:
    for target in ("os.system", "subprocess.Popen", "Popen", "torch.load", "instance", "os"):
        refused({"_target_": f"{package}.{target}"}, package)


def test_a_name_that_is_allowed_and_no_class_is_not_told_to_be_added() -> None:
    message = refused({"_target_": "os.system"}, "os")
    assert message.endswith("got os.system, which is posix.system, no class; name a class where it "
                            "is defined")  # fmt: skip
    assert "allow_targets" not in message


def test_the_own_classes_and_functions_that_are_built_are_noted(package: str) -> None:
    builder = Builder([package])
    builder(OmegaConf.create(LINEAR), "part")
    assert builder.own_classes == []
    builder(OmegaConf.create({"_target_": f"{package}.Net"}), "part")
    builder(OmegaConf.create({"_target_": f"{package}.make"}), "part")
    module = sys.modules[package]
    assert builder.own_classes == [module.Net, module.make]


@pytest.mark.parametrize(
    "name", ["", "*", ".", "my_package.", ".my", "a..b", "a b", "torch.*", "a/b"]
)
def test_a_name_that_would_allow_everything_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="allow_targets must list names of packages") as error:
        Builder([name])
    assert repr(name) in str(error.value)


def test_a_target_that_cannot_be_imported_says_so(
    package: str, workdir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match=r"part\._target_: fokker\.networks\.Nope cannot be im"):
        build({"_target_": "fokker.networks.Nope"})
    (workdir / "own_broken.py").write_text("import a_module_that_is_not_there\n")
    with pytest.raises(ValueError, match="a_module_that_is_not_there") as error:
        build({"_target_": "own_broken.Net"}, "own_broken")
    assert "\n" not in str(error.value)
    assert caplog.records == []  # One message: the error's.


@pytest.mark.parametrize("node", [{}, {"width": 3}, {"_partial_": True}])
def test_a_node_without_a_target_is_refused(node: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="part must be a node with a _target_, got"):
        build(node)


def test_arguments_are_checked_by_name_and_type_before_anything_is_built() -> None:
    def message(**changes: Any) -> str:
        with pytest.raises(ValueError, match=r"^part\.") as error:
            build({**LINEAR, **changes})
        return str(error.value)

    assert message(bais=True) == (
        "part.bais is not taken by Linear; did you mean bias? There are in_features, "
        "out_features, bias, device, dtype"
    )
    assert message(in_features=1.5) == "part.in_features must be a whole number, got 1.5"
    assert message(in_features=True) == "part.in_features must be a whole number, got true"
    assert message(bias=1) == "part.bias must be true or false, got 1"
    assert message(bias=None) == "part.bias must be true or false, got null"


def test_the_message_names_the_key_where_a_value_was_set() -> None:
    config = OmegaConf.create(
        {"size": "large", "part": {**LINEAR, "in_features": "${size}", "out_features": 2}}
    )
    with pytest.raises(ValueError, match=r"^size must be a whole number, got large$"):
        Builder()(config.part, "part")


def test_an_own_class_is_held_to_its_annotations_and_no_more(workdir: Path, package: str) -> None:
    (workdir / f"{package}.py").write_text(
        "from __future__ import annotations\n"
        "from pathlib import Path\n"
        "from typing import TYPE_CHECKING, Any\n"
        "if TYPE_CHECKING:\n"
        "    from somewhere import Thing\n"
        "class Free:\n"
        "    def __init__(self, size, path: Path = None, **more: Any) -> None:\n"
        "        self.given = (size, path, more)\n"
        "class Unreadable:\n"
        "    def __init__(self, size: int, thing: Thing = None) -> None:\n"
        "        self.given = (size, thing)\n"
        "class Strict:\n"
        "    def __init__(self, sizes: list[int], share: float | None = None) -> None:\n"
        "        self.given = (sizes, share)\n"
    )

    def given(name: str, **arguments: Any) -> Any:
        return build({"_target_": f"{package}.{name}", **arguments}, package).given

    assert given("Free", size="x", path="a/b", other=[1]) == ("x", "a/b", {"other": [1]})
    assert given("Unreadable", size="x", thing=3) == ("x", 3)
    assert given("Strict", sizes=[1, 2], share=1) == ([1, 2], 1)
    for wrong in (
        {"sizes": [1.5]},
        {"sizes": 3},
        {"sizes": [1], "share": "x"},
        {"sizes": [], "z": 1},
    ):
        with pytest.raises(ValueError, match=r"^part\."):
            given("Strict", **wrong)
