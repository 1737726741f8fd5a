"""Two models whose keys are the same by chance are told apart by what is stored."""

import pytest

from tiny_runs import compose_experiment, only_model, train

pytestmark = pytest.mark.usefixtures("workdir")


def test_a_folder_of_another_model_of_the_same_key_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("build_task", "same_model"):
        name = f"fokker.config.{module}.model_key"
        monkeypatch.setattr(name, lambda *_, **__: "0123abcdef")
    train("trainer.max_steps=2")
    compose_experiment("trainer.max_steps=2")
    with pytest.raises(
        ValueError,
        match=r"-0123abcdef holds another model with the same key: "
        r"optimizer.lr \(0.002 there, 0.3 here\); move it away",
    ):
        compose_experiment("trainer.max_steps=2", "optimizer.lr=0.3")


def test_a_folder_whose_configuration_was_changed_says_nothing_of_its_key() -> None:
    train("trainer.max_steps=2")
    folder = only_model()
    folder.config.write_text(folder.config.read_text().replace("lr: 0.002", "lr: 0.02"))
    compose_experiment("trainer.max_steps=2")
