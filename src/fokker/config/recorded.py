"""The overrides in the record of a trained model, which other people may have written."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, final

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from fokker.config.foreign import NEVER, OF_WORDS, NotOwn, check_own
from fokker.config.option_words import group_of, option_words
from fokker.config.translations import sentence
from fokker.machine.disk import DamagedError
from fokker.machine.named_files import one_line
from fokker.overrides import parse, read
from fokker.store.places import find_checkpoint
from fokker.store.records import read_record
from fokker.store.run_files import read_config
from fokker.store.whereabouts import override_as_today

# Not taken over from the run that trained a model, though its record may have them.
NOT_INHERITED = (
    *NEVER, "task", "checkpoint", "continue_from", "init_from", "retrain", "logger", "evaluation",
    "metrics", "fail_fast", "objective",
)  # fmt: skip
# Limits say how far a run goes, and are no part of what was trained.
LIMITS = ("trainer.max_time", "trainer.limit_train_batches")


@final
class ForeignRecord(ValueError):
    """An error in a model's record: it sets what no record may set."""


def recorded_overrides(
    place: Path, given: Collection[str], config: DictConfig
) -> tuple[Path, list[str]]:
    """Return the record of the model at `place`, and its overrides without those given anew.

    Raises:
        ForeignRecord: if they are no overrides, or set more than the configuration.
    """
    file = find_checkpoint(place)
    beside, path = file.with_name("model.json"), file.with_name("config.yaml")
    record, is_damaged = read_record(beside), False
    try:
        trained = read_config(path) if path.is_file() else OmegaConf.create()
    except DamagedError:  # The checkpoint has the configuration too.
        is_damaged = True
    # Imported late, for it needs torch.
    from fokker.store.identity import recorded_standardize

    if not record or is_damaged:  # A checkpoint on its own describes itself.
        from fokker.store.description import record_of

        described = record_of(file)
        trained = OmegaConf.create(described.get("config", {}))
        if not record:
            beside, record = file, described
    recorded = record.get("overrides", [])
    sources = config.hydra.runtime.config_sources
    try:
        if not isinstance(recorded, list) or not all(isinstance(o, str) for o in recorded):
            raise ForeignRecord(f"{beside} does not hold overrides: a list of texts is needed")
        kept = list(_kept(recorded, given, sources))
    except HydraException as error:
        why = sentence(error, recorded, lambda group: [])
        raise ForeignRecord(f"{beside} does not hold overrides: {one_line(why)}") from error
    except NotOwn as error:
        raise ForeignRecord(
            f"{beside} has the override {error}; a model may set keys and options of the "
            "configuration alone, so take that override out of the file, or use another model"
        ) from error
    # The meaning of `true` depends on the data, so what it meant is written out.
    word = None if "data" in given else recorded_standardize(trained)
    if word is not None and "data.standardize" not in given:
        if not word.isalpha():
            said = f"{path} has data.standardize={word}, which is not a value that fokker knows"
            raise ForeignRecord(said)
        kept.append(f"data.standardize={word}")
    return beside, [override_as_today(override) for override in kept]


def _kept(recorded: Sequence[str], given: Collection[str], sources: Any) -> Iterator[str]:
    """Yield the recorded overrides that are taken over."""
    # Hydra's own parser takes no flag for an override, and ignores spaces where hydra does.
    parsed = parse(recorded)  # All are parsed before one is used.
    words = [read(str(override.input_line)) for override in parsed]
    own = {word.name for word in words}
    for override, word in zip(parsed, words):
        key, place = word.name, group_of(word.package or word.key)
        if word.package is None and place in NOT_INHERITED:
            continue
        check_own(override, sources)
        # A user who gives sampler=ddim does not want sampler.alpha of another sampler.
        is_replaced = key in given or group_of(key) in given or key in LIMITS
        said = option_words(sources, key, str(override.value())) or ()
        says_more = key in OF_WORDS and any(group_of(read(w).key) in NEVER for w in said)
        # A study would begin again, and hydra takes one of two experiments. So the overrides in
        # their files are taken, not the option itself.
        if key == "sweeps" or is_replaced or says_more:
            yield from _kept(said, {*given, *own}, sources)
        elif place not in NOT_INHERITED:
            yield word.text
