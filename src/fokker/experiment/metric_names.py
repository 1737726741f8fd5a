"""Which metrics a run will have, before anything is trained."""

from fokker.experiment.chain import Chain
from fokker.experiment.evaluate import SampleMetrics
from fokker.experiment.experiment import Experiment
from fokker.experiment.flow_field import FlowField
from fokker.experiment.likelihood import Likelihood
from fokker.experiment.marginal_map import MarginalMap
from fokker.experiment.pde import PDE
from fokker.experiment.reports import exact_distances, no_budget
from fokker.experiment.steps_map import StepsMap

TERMS = ("truncation", "prior", "discretisation", "learning", "measured")
# What they find is all of one noise level or number of steps each.
OF_NONE = (PDE, Chain, FlowField, MarginalMap, StepsMap)
LIKELIHOOD = ("nll", "negative_elbo", "round_trip_rms", "nfe")


def metric_names(experiment: Experiment) -> list[str] | None:
    """The single numbers of metrics.json that tell runs apart; none if they cannot be known.

    They cannot with an evaluation of the user's own, which says after the run what it found.
    """
    model, own = experiment.model, experiment.samplings[0]
    data = model.data
    measured = SampleMetrics.of(data, experiment.num_samples).distances
    names = ["nfe", *measured, *exact_distances(model, own), "held_out_loss", "denoising_error"]
    if data.model_law is not None:
        names += ["loss", "floor", "excess", *(["relative_excess"] if data.fresh else [])]
    if experiment.budget_points != 0 and not no_budget(model, own):
        names += [f"error_{term}" for term in TERMS]
    for evaluation in experiment.evaluations.values():
        if isinstance(evaluation, Likelihood):
            names += [f"likelihood_{quantity}" for quantity in LIKELIHOOD]
            if data.levels is not None and evaluation.bits is not False:
                names.append("likelihood_bits_per_dim")
            if data.model_law is not None:
                names += ["likelihood_pathwise_kl", "likelihood_pathwise_kl_prior"]
        elif not isinstance(evaluation, OF_NONE):
            return None
    return names


def curve_steps(experiment: Experiment) -> dict[str, int]:
    """What the training curve will hold that tells trainings apart, and every how many steps.

    Nothing where nothing is trained.
    """
    if experiment.model.is_exact or experiment.checkpoint is not None:
        return {}
    intervals, known = experiment.intervals, experiment.model.data.model_law is not None
    logged = ["loss", *(["excess"] if known else [])]
    validated = ["held_out_loss", "denoising_error", *(["ema_excess"] if known else [])]
    return {
        **dict.fromkeys(validated, intervals.validation_steps),
        **dict.fromkeys(logged, intervals.log_steps),
    }
