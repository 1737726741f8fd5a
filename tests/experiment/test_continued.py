"""A training that goes on from a model is the unbroken one, and a model of its own."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import tiny_runs
from fokker.config.compose import composed
from fokker.machine.files import read_json
from fokker.store.models import ModelFolder
from fokker.training import InterruptedTraining
from fokker.training import data as training_data
from fokker.training.ema import EMA

JOB = ("optimizer.schedule=constant", "optimizer.warmup_steps=5", "callbacks.save_steps=7",
       "callbacks.save_seconds=1e6", "callbacks.validation_steps=10")  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("continued")


@pytest.fixture(scope="module")
def half(place: Path) -> ModelFolder:
    """A model of 20 steps; not to be changed."""
    return tiny_runs.train(*JOB, f"output_dir={place / 'half'}")[1]


@pytest.fixture(scope="module")
def whole(place: Path) -> ModelFolder:
    """The unbroken training of 40 steps."""
    return tiny_runs.train(*JOB, "trainer.max_steps=40", f"output_dir={place / 'whole'}")[1]


def further(half: ModelFolder, *overrides: str) -> tuple[str, ...]:
    return (*JOB, f"continue_from={half.path}", "trainer.max_steps=40", *overrides)


def content(folder: ModelFolder) -> dict[str, tuple[int, bytes]]:
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.path.iterdir()}


def is_as(folder: ModelFolder, whole: ModelFolder) -> bool:
    states = [tiny_runs.trained_state(f) for f in (folder, whole)]
    assert folder.is_complete
    assert states[1]["step"] == 40
    return tiny_runs.differing(*states) == []


@pytest.mark.long
def test_it_is_the_unbroken_training_to_the_bit(
    workdir: Path, half: ModelFolder, whole: ModelFolder
) -> None:
    before, rows = content(half), []
    _, folder = tiny_runs.train(*further(half), listener=lambda row, step: rows.append(step))
    assert is_as(folder, whole)
    assert content(half) == before
    assert rows == list(range(5, 45, 5))  # The whole curve is heard.
    record = folder.record
    assert (record["continued_from"], record["continued_at"]) == (half.path.name, 20)
    assert (record["step"], record["images"]) == (40, 40 * 256)
    again = tiny_runs.compose_experiment(*further(half)).task
    assert again.folder.path == folder.path.relative_to("")


@pytest.mark.parametrize(("step", "saved"), [(21, 0), (33, 28)])
def test_it_goes_on_where_it_was_killed(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, half: ModelFolder, whole: ModelFolder,
    step: int, saved: int,
) -> None:  # fmt: skip
    """Also before its first save, where nothing is there but its name."""
    update = EMA.update

    def stopped(self: EMA, images: int, batch_size: int) -> None:
        update(self, images, batch_size)
        if images == step * batch_size:
            raise KeyboardInterrupt

    monkeypatch.setattr(training_data, "BLOCK_SECONDS", 1e9)
    with monkeypatch.context() as patch:
        patch.setattr(EMA, "update", stopped)
        with pytest.raises(InterruptedTraining, match=f"at step {saved or 20} of 40"):
            tiny_runs.train(*further(half))
    assert tiny_runs.only_model().steps_done == saved
    with tiny_runs.only_model().curves.open("a") as file:
        file.write('{"step": 25, "ima')
    _, folder = tiny_runs.train(*further(half))
    assert is_as(folder, whole)


@pytest.mark.long
def test_each_link_of_a_chain_is_a_model_of_its_own(workdir: Path, half: ModelFolder) -> None:
    _, middle = tiny_runs.train(*further(half, "trainer.max_steps=30"))
    names = {
        tiny_runs.compose_experiment(*overrides).task.folder.path.name
        for overrides in [
            further(half),
            further(middle),
            (*JOB, "trainer.max_steps=40"),
            (*JOB, "trainer.max_steps=40", f"init_from={half.path}"),
            further(half, "optimizer.lr=1e-3"),
            further(half, "weighting=x0"),
            further(half, "seed=1"),
        ]
    }
    assert len(names) == 7
    _, end = tiny_runs.train(*further(middle))
    assert end.record["continued_from"] == middle.path.name
    # It is used as it is, whether the others are there or not.
    shutil.rmtree(middle.path)
    made = tiny_runs.compose_experiment(*JOB, "trainer.max_steps=40", f"checkpoint={end.path}")
    assert made.task.folder.path.name == end.path.name


def test_a_checkpoint_alone_can_be_gone_on_from(
    workdir: Path, half: ModelFolder, whole: ModelFolder
) -> None:
    shutil.copy(half.checkpoint, "mine.ckpt")
    _, folder = tiny_runs.train(*JOB, "continue_from=mine.ckpt", "trainer.max_steps=40")
    states = [tiny_runs.trained_state(f) for f in (folder, whole)]
    assert tiny_runs.differing(*states) == ["curves"]  # What was before is not known.


def test_numbers_of_the_optimiser_are_those_that_are_asked_for(
    workdir: Path, half: ModelFolder
) -> None:
    changed = ("optimizer.optimizer.weight_decay=0.25", "optimizer.optimizer.betas=[0.5,0.9]")
    _, folder = tiny_runs.train(*further(half, *changed))
    (state,) = tiny_runs.checkpoint(folder)["optimizer_states"]
    group = state["param_groups"][0]
    assert (group["weight_decay"], list(group["betas"])) == (0.25, [0.5, 0.9])


def test_another_precision_or_weighting_may_follow(workdir: Path, half: ModelFolder) -> None:
    changes = ("trainer.precision=bf16-mixed", "weighting=x0", "noise_levels.P_mean=-1.0")
    folders = [tiny_runs.train(*further(half, change))[1] for change in changes]
    assert len({folder.path for folder in folders}) == 3
    assert all(folder.is_complete for folder in folders)


def test_the_run_says_how_the_rate_goes_on(
    workdir: Path, half: ModelFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tiny_runs.run(*further(half, "optimizer.schedule=cosine"))
    said = capsys.readouterr().out
    assert (
        f"continuing {half.path.name} from its step 20: the cosine is now that of 40 steps, and "
        "the learning rate goes on at 0.0012, where it had ended at 0.002"
    ) in said
    assert "3,777 parameters, from step 20 of 40 steps of 256" in said
    record = read_json(result.path / "run.json")
    assert (record["training"], record["continued_at"]) == ("trained", 20)


def test_it_takes_over_what_the_model_was_trained_with(workdir: Path, half: ModelFolder) -> None:
    shutil.copytree(half.path, "copy")
    limited = ["trainer.limit_train_batches=7", "trainer.max_time=00:00:00:01"]
    trained = [*JOB, *limited, "init_from=elsewhere", "sampler=ddim"]
    ModelFolder(Path("copy")).write(overrides=trained)
    with composed(["continue_from=copy", "optimizer.lr=1e-4"]) as config:
        assert config.callbacks.save_steps == 7
        assert "eta" in config.sampler
        assert config.optimizer.lr == 1e-4
        # How far that run went, and what it began with, is its own.
        assert config.trainer.max_time is config.trainer.limit_train_batches is None
        assert config.init_from is None
    with composed(["checkpoint=copy"]) as config:
        assert config.init_from is None


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("trainer.max_steps=20",), r"trainer\.max_steps must be above the 20 steps that .*got 20"),
        (("init_from=x",), "init_from must be null with continue_from"),
        (("checkpoint=x",), "checkpoint must be null with continue_from"),
        (("network=exact",), "continue_from must be null with"),
        (("continue_from=nowhere",), "no checkpoint at nowhere"),
        (("continue_from=''",), "continue_from must be a path or null, got nothing"),
        (("data.batch_size=128",), r"data\.batch_size \(256 there, 128 here\), which a continued"),
        (("data.high=2.0",), r"data\.high \(1.0 there, 2.0 here\)"),
        (("data=ring8",), r"with data \(uniform there, ring8 here\), which"),
        (("network.width=8",), r"network\.width \(16 there, 8 here\)"),
        (
            ("preconditioning=v",),
            r"preconditioning\._target_ \(fokker\.diffusion\.preconditioning\.EDM",
        ),
        (("ema.half_lives=[7]",), r"ema\.half_lives \(\[50000\] there, \[7\] here\)"),
        (("optimizer=adamw",), r"optimizer\.optimizer\._target_ \(torch\.optim\.Adam there"),
        (("optimizer.optimizer.amsgrad=true",), "asks for exp_avg, exp_avg_sq, max_exp_avg_sq"),
        (("weighting=learned",), "has not a weighting that learns, and this training has"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused(
    workdir: Path, half: ModelFolder, overrides: tuple[str, ...], sentence: str
) -> None:
    given: list[Any] = ["+" + o if "amsgrad" in o else o for o in overrides]
    given = [o.replace("=x", f"={half.path}") if o.endswith("=x") else o for o in given]
    with pytest.raises(ValueError, match=sentence):
        tiny_runs.compose_experiment(*further(half, *given))
    assert not Path("outputs").exists()


def test_a_training_that_is_not_at_its_end_is_refused(workdir: Path, half: ModelFolder) -> None:
    shutil.copytree(half.path, "copy")
    ModelFolder(Path("copy")).write(status="interrupted", step=14)
    with pytest.raises(ValueError, match="is not at its end: interrupted at step 14"):
        tiny_runs.compose_experiment(*further(ModelFolder(Path("copy"))))
    ModelFolder(Path("copy")).write(status="complete", checksums=["0" * 64])
    with pytest.raises(ValueError, match=r"is damaged: its sha256 is not"):
        tiny_runs.compose_experiment(*further(ModelFolder(Path("copy"))))
