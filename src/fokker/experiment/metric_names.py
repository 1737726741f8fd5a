"""Which metrics a run will have, before anything is trained."""

from fokker.experiment.evaluate import SampleMetrics
from fokker.experiment.likelihood import Likelihood
from fokker.experiment.pde import PDE
from fokker.experiment.reports import exact_distances, no_budget
from fokker.experiment.run import Experiment

TERMS = ("truncation", "prior", "discretisation", "learning", "measured")
LIKELIHOOD = ("nll", "negative_elbo", "round_trip_rms", "nfe")


def metric_names(experiment: Experiment) -> list[str] | None:
    """The single numbers of metrics.json that tell runs apart; none if they cannot be known.

    They cannot with an evaluation of the user's own, which says after the run what it found.
    """
    model, own = experiment.model, experiment.samplings[0]
    data = model.data
    names = ["nfe", *SampleMetrics.of(data, 2).distances, *exact_distances(model, own)]
    names += ["held_out_loss", "denoising_error"]
    if data.model_law is not None:
        names += ["loss", "floor", "excess"]
    if experiment.budget_points != 0 and not no_budget(model, own):
        names += [f"error_{term}" for term in TERMS]
    for evaluation in experiment.evaluations.values():
        if isinstance(evaluation, Likelihood):
            names += [f"likelihood_{quantity}" for quantity in LIKELIHOOD]
            if data.levels is not None and evaluation.bits is not False:
                names.append("likelihood_bits_per_dim")
            if data.model_law is not None:
                names += ["likelihood_pathwise_kl", "likelihood_pathwise_kl_prior"]
        elif not isinstance(evaluation, PDE):  # The PDE's are all of one noise level each.
            return None
    return names
