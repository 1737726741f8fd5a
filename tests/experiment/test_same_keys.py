"""Two models whose keys are the same by chance are told apart by what is stored."""

import pytest

from tiny_runs import compose_experiment, only_model, train

pytestmark = pytest.mark.usefixtures("workdir")


def test_a_folder_of_another_model_of_the_same_key_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fokker.cli.build.model_key", lambda *_, **__: "0123abcd")
    train("trainer.max_steps=2")
    compose_experiment("trainer.max_steps=2")
    with pytest.raises(
        ValueError,
        match=r"-0123abcd holds another model whose key is the same by chance: "
        r"optimizer.lr \(0.002 there, 0.3 here\); move it away",
    ):
        compose_experiment("trainer.max_steps=2", "optimizer.lr=0.3")


def test_a_folder_whose_configuration_gives_another_key_now_is_left_to_itself() -> None:
    """As those that an older version has written in other words."""
    train("trainer.max_steps=2")
    folder = only_model()
    folder.config.write_text(folder.config.read_text().replace("lr: 0.002", "lr: 0.02"))
    compose_experiment("trainer.max_steps=2")
