"""The contract: draws are functions of their places, losses of their rows, and no file knows how
it is trained."""

import ast
from pathlib import Path

import pytest
import torch
from torch import Tensor

import fokker
import tiny_runs
from fokker.config.compose import config_dir
from fokker.formulation import Batch, Draws, Formulation
from fokker.measures import ERROR
from fokker.randomness import Randomness
from fokker.training.validation import validate

FORMULATIONS = sorted(path.stem for path in Path(config_dir(), "formulation").glob("*.yaml"))
STEP, SIZE = 3, 24


def made(name: str, seed: int = 5) -> Formulation:
    words = (f"formulation={name}", "data=ring8", f"data.batch_size={SIZE}", f"seed={seed}")
    model = tiny_runs.compose_experiment(*words).model
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # The first output of a network is 0, whatever it is given.
        for weight in model.network.parameters():
            weight.normal_(std=0.4, generator=generator)
    return model


def drawn(model: Formulation, start: int, stop: int) -> Draws:
    """The draws of places start to stop of a step's batch."""
    batch = model.fetch(STEP * SIZE + start, STEP * SIZE + stop)
    return model.draws(STEP, range(start, stop), batch)


def tensors(draws: Draws) -> dict[str, Tensor]:
    return {"x": draws.batch.x, "level": draws.level, **draws.random}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", FORMULATIONS)
def test_draws_are_functions_of_seed_step_and_place(workdir: Path, name: str) -> None:
    whole = tensors(drawn(made(name), 0, SIZE))
    again = made(name)
    last, first = drawn(again, 7, SIZE), drawn(again, 0, 7)  # In another order.
    for key, tensor in whole.items():
        assert torch.equal(tensor, torch.cat([tensors(first)[key], tensors(last)[key]])), key
    other = tensors(drawn(made(name, seed=6), 0, SIZE))
    assert not any(torch.equal(tensor, other[key]) for key, tensor in whole.items())


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", FORMULATIONS)
def test_samples_are_functions_of_seed_and_number(workdir: Path, name: str) -> None:
    """In any cut and order, up to float32, in which a product depends on the rows of a batch."""
    words = (f"formulation={name}", "data=ring8", "sampler.num_steps=6", "evaluation.num_samples=9")
    (way,) = tiny_runs.compose_experiment(*words).plan.ways
    whole = way.sample(Randomness(3), 0, 9, 9)
    again = tiny_runs.compose_experiment(*words).plan.ways[0]
    last, first = again.sample(Randomness(3), 4, 9, 9), again.sample(Randomness(3), 0, 4, 9)
    joined = torch.cat([first.x, last.x])
    torch.testing.assert_close(joined, whole.x, rtol=1e-4, atol=1e-5)
    assert first.evaluations + last.evaluations == whole.evaluations
    other = way.sample(Randomness(4), 0, 9, 9).x
    assert not torch.isclose(other, whole.x).any()
    # The states that are watched stand at the places that it names.
    seen: list[int] = []
    way.sample(Randomness(3), 0, 2, 9, lambda i, x: seen.append(i))
    assert seen == list(range(len(way.places)))
    assert {*way.shown} <= {*seen}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", FORMULATIONS)
def test_no_row_of_a_loss_depends_on_another(workdir: Path, name: str) -> None:
    model = made(name)
    draws = drawn(model, 0, SIZE)
    whole = model.losses(draws)
    parts = [model.losses(part) for part in draws.cut(3)]
    assert [len(part.value) for part in parts] == [8, 8, 8]
    for kind in ("value", "objective"):
        joined = torch.cat([getattr(part, kind) for part in parts])
        torch.testing.assert_close(joined, getattr(whole, kind), rtol=1e-5, atol=1e-7)
    changed = Draws(
        Batch(draws.batch.x + 1.0 * (torch.arange(SIZE) == 4)[:, None]), draws.level, draws.random
    )
    same = torch.arange(SIZE) != 4
    torch.testing.assert_close(model.losses(changed).value[same], whole.value[same])
    assert model.losses(changed).value[4] != whole.value[4]


def test_a_formulation_knows_nothing_of_its_training() -> None:
    source = Path(fokker.__file__).parent
    for file in (source / "formulation.py", *(source / "diffusion" / "formulations").glob("*.py")):
        names = [
            name
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            for name in (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in getattr(node, "names", [])]
            )
            if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        wrong = [n for n in names if n.startswith(("lightning", "fokker.training"))]
        assert wrong == [], file


def test_weights_have_the_formulations_own_names(workdir: Path) -> None:
    """In the training module and in its checkpoint: that is what files and other code rely on."""
    training, folder = tiny_runs.train("weighting=learned")
    names = list(training.formulation.state_dict())
    assert list(training.state_dict()) == names
    assert list(tiny_runs.checkpoint(folder)["state_dict"]) == names
    assert {name.split(".")[0] for name in names} == {"denoiser", "weighting"}
    assert [*training.parameters()] == [*training.formulation.parameters()]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "words",
    [
        *((f"formulation={name}", "data=ring8") for name in FORMULATIONS),
        ("data=uniform",), ("data=uniform", "data.num_points=100"), ("data=two_moons",),
        ("data=mixture", "network=exact"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_measures_say_what_validation_gives(workdir: Path, words: tuple[str, ...]) -> None:
    experiment = tiny_runs.compose_experiment(*words)
    model, (way,) = experiment.model, experiment.plan.ways
    given = {n for n in validate(model).numbers if not n.endswith(ERROR)}
    said = model.measures(way, 0)
    assert given | {*way.exact()} == {*said}
