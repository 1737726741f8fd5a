"""Mistakes in the platform's rooms that are easily made, and the tests that see each of them."""

from mistake import Mistake

KEY = tuple(
    f"experiment/test_identity.py::{name}"
    for name in (
        "test_what_the_weights_depend_on_is_in_the_key",
        "test_the_key_is_one_of_the_whole_content_and_of_its_order_not",
        "test_the_training_s_part_of_a_configuration",
    )
)
LOCKS = ("test_locks.py",)
FILES = ("test_own_files.py",)

MISTAKES = (
    # identity -------------------------------------------------------------------------------------
    Mistake(
        "the averages are in no model's key",
        "store/identity.py",
        'OF_ANY = ("optimizer", "ema")',
        'OF_ANY = ("optimizer",)',
        KEY,
    ),
    Mistake(
        "the precision is in no model's key",
        "store/identity.py",
        'for key in ("max_steps", "precision")}',
        'for key in ("max_steps",)}',
        KEY,
    ),
    Mistake(
        "a key depends on the order of the configuration",
        "store/identity.py",
        "json.dumps(whole, sort_keys=True, default=str)",
        "json.dumps(whole, default=str)",
        KEY,
    ),
    Mistake(
        "the weights that a training starts from are forgotten",
        "store/identity.py",
        '        "init": init,\n',
        "",
        ("experiment/test_identity.py::test_the_first_weights_count_where_they_are_given",),
    ),
    Mistake(
        "the place of a data file is in the key",
        "store/identity.py",
        'OWN_PLACES = ("path", "key", "dataset", "layout")',
        'OWN_PLACES = ("key", "dataset", "layout")',
        ("experiment/test_identity.py::test_the_content_of_a_file_counts_and_not_its_place",),
    ),
    # locks ----------------------------------------------------------------------------------------
    Mistake(
        "a folder's lock that another one holds is not noticed",
        "machine/locks.py",
        "if not is_ours:",
        "if False:",
        LOCKS,
    ),
    Mistake(
        "a folder's lock is never given up",
        "machine/locks.py",
        "        yield\n    finally:\n        os.close(handle)\n\n\ndef is_held",
        "        yield\n    finally:\n        pass\n\n\ndef is_held",
        LOCKS,
    ),
    Mistake(
        "a status check takes the lock for itself alone",
        "machine/locks.py",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        LOCKS,
    ),
    Mistake(
        "a held file counts as free",
        "machine/locks.py",
        "    except Timeout:\n        return True",
        "    except Timeout:\n        return False",
        LOCKS,
    ),
    # atomic writes --------------------------------------------------------------------------------
    Mistake(
        "a file is written in its place",
        "machine/files.py",
        "            write(temporary)\n",
        "            write(path)\n",
        ("experiment/test_record.py::test_a_file_is_whole_or_not_there",),
    ),
    Mistake(
        "a link that is put in a temporary file's place is followed",
        "machine/files.py",
        "os.open(temporary, os.O_RDWR | os.O_NOFOLLOW)",
        "os.open(temporary, os.O_RDWR)",
        FILES,
    ),
    Mistake(
        "what a killed writer has left stays",
        "machine/files.py",
        "        temporary.unlink(missing_ok=True)\n        os.close",
        "        os.close",
        FILES,
    ),
    # sweeps ---------------------------------------------------------------------------------------
    Mistake(
        "failed jobs count as completed",
        "sweeps/outcome.py",
        'return [row for row in self.rows if row["status"] == "completed"]',
        "return list(self.rows)",
        ("cli/test_verdict.py",),
    ),
    Mistake(
        "the spread over seeds divides by n",
        "sweeps/collection.py",
        "math.sqrt(n - 1)",
        "math.sqrt(n)",
        ("cli/test_verdict.py",),
    ),
    Mistake(
        "a single run beside means may win",
        "sweeps/standings.py",
        "are_several and s.n < 2, s.badness",
        "s.badness",
        ("cli/test_verdict.py",),
    ),
    Mistake(
        "the difference of settings is not taken seed by seed",
        "sweeps/standings.py",
        "if min(len(common), self.n, other.n) > 1:",
        "if False:",
        ("cli/test_verdict.py",),
    ),
    Mistake(
        "the best is that with the highest value",
        "measures.py",
        'return -1.0 if self.best == "highest" else 1.0',
        'return 1.0 if self.best == "highest" else -1.0',
        ("cli/test_verdict.py",),
    ),
    Mistake(
        "an attempt is written into an earlier one's folder",
        "sweeps/jobs.py",
        "return self.folder(self.attempts + 1)",
        "return self.folder(max(self.attempts, 1))",
        (
            "cli/test_sweep.py"
            "::test_what_failed_for_a_reason_that_is_gone_is_completed_in_a_second_folder",
        ),
    ),
    Mistake(
        "the row of a job is that of its first attempt",
        "sweeps/jobs.py",
        "folder = self.folder(max(count, 1))",
        "folder = self.folder(1)",
        (
            "cli/test_sweep.py"
            "::test_what_failed_for_a_reason_that_is_gone_is_completed_in_a_second_folder",
        ),
    ),
    Mistake(
        "a formula goes into a table as it is",
        "machine/csv_files.py",
        "    return _QUOTE + cell\n",
        "    return cell\n",
        ("test_csv_files.py",),
    ),
    # search ---------------------------------------------------------------------------------------
    Mistake(
        "a search that maximises takes the lowest",
        "search/objectives.py",
        'return [-v if d == "maximize" else v',
        'return [v if d == "maximize" else v',
        ("cli/test_search.py::test_the_pareto_front_by_hand",),
    ),
    Mistake(
        "Optuna is told a ratio, and not how far it is from 1",
        "search/objectives.py",
        "self._measure(metric).badness(v) if self.given is None else v",
        "v",
        ("cli/test_search.py::test_the_nearest_neighbour_ratio_is_best_at_1",),
    ),
    Mistake(
        "a trial without a result may be on the front",
        "search/objectives.py",
        "            return [math.inf] * len(self.metrics)",
        "            return [0.0] * len(self.metrics)",
        ("cli/test_search.py::test_the_pareto_front_by_hand",),
    ),
    Mistake(
        "all trials are suggested by one seed",
        "search/trials.py",
        'f"{self._method.seed}/{number}"',
        'f"{self._method.seed}"',
        ("cli/test_search.py::test_a_longer_search_asks_what_a_longer_one_had_asked",),
    ),
    Mistake(
        "a pruned trial is told as a failure",
        "search/trials.py",
        'TrialState.PRUNED if status == "pruned" else TrialState.FAIL',
        "TrialState.FAIL",
        ("cli/test_search.py::test_a_bad_learning_rate_is_pruned",),
    ),
    # metrics and records --------------------------------------------------------------------------
    Mistake(
        "a metric that does not fit is left out in silence",
        "config/metrics.py",
        "    if not metric.optional:\n",
        "    if False:\n",
        ("experiment/test_own_metrics.py",),
    ),
    Mistake(
        "the numbers of an evaluation of one's own are not declared",
        "experiment/metric_names.py",
        "            found.update(evaluation.measures(model, own))\n    return found",
        "            pass\n    return found",
        ("experiment/test_own_metrics.py",),
    ),
    Mistake(
        "a stream of random numbers forgets the seed",
        "randomness.py",
        'f"{stream}/{self.seed}/{',
        'f"{stream}/{',
        ("test_randomness.py",),
    ),
)
