"""Mistakes in formulas that are easily made, and the tests that see each of them."""

from mistake import Mistake

SDE = ("sde/test_sde.py",)
STEPS = ("samplers/test_published_steps.py",)

MISTAKES = (
    # sde ------------------------------------------------------------------------------------------
    Mistake(
        "B(t) without the half of beta's slope", "diffusion/sde/vp_linear.py",
        "self.beta_min * t + self.beta_d * t**2 / 2", "self.beta_min * t + self.beta_d * t**2", SDE,
    ),
    Mistake(
        "s(t) forgotten in the flow's velocity", "diffusion/sde/base.py",
        "float(-rate * self.scale(t))", "float(-rate)", SDE,
    ),
    Mistake(
        "sub-VP with VP's exponent in g^2", "diffusion/sde/sub_vp.py",
        "torch.expm1(-2 * self._beta.integral(t))", "torch.expm1(-self._beta.integral(t))", SDE,
    ),
    # preconditioning, weighting, noise levels, grids ----------------------------------------------
    Mistake(
        "c_skip without sigma_data", "diffusion/preconditioning.py",
        "self._sigma_data**2 / variance,", "1 / variance,", ("test_preconditioning.py",),
    ),
    Mistake(
        "c_in divides by the variance, not by its root", "diffusion/preconditioning.py",
        "(sigma**2 + self._sigma_data**2).rsqrt()", "1 / (sigma**2 + self._sigma_data**2)",
        ("test_preconditioning.py",),
    ),
    Mistake(
        "EDM's weighting upside down", "diffusion/weighting.py",
        "(sigma**2 + self._sigma_data**2) / (sigma * self._sigma_data) ** 2",
        "(sigma * self._sigma_data) ** 2 / (sigma**2 + self._sigma_data**2)",
        ("test_weighting.py",),
    ),
    Mistake(
        "the variational bound's SNR differences of the wrong neighbour", "diffusion/weighting.py",
        "torch.cat([snr[:1], snr[:-1] - snr[1:]])", "torch.cat([snr[:-1] - snr[1:], snr[-1:]])",
        ("test_weighting.py",),
    ),
    Mistake(
        "P_std^2 for P_std", "diffusion/noise_levels.py",
        "self._std * torch.special.ndtri", "self._std**2 * torch.special.ndtri",
        ("test_noise_levels.py",),
    ),
    Mistake(
        "a logarithm to base 10 undone by e", "diffusion/noise_levels.py",
        "self._width = math.log(self._high / self._low)",
        "self._width = math.log10(self._high / self._low)", ("test_noise_levels.py",),
    ),
    Mistake(
        "strata of half a batch", "diffusion/noise_levels.py",
        "dtype=torch.float64) / batch_size) % 1", "dtype=torch.float64) / (2 * batch_size)) % 1",
        ("test_noise_levels.py",),
    ),
    Mistake(
        "the last node above 0", "diffusion/grids/base.py",
        "torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)])",
        "torch.cat([sigmas, sigmas[-1:] / 2])",
        ("test_grids.py::test_nodes_fall_strictly_to_zero",),
    ),
    Mistake(
        "rho = 7 spread over N, not N - 1, intervals", "diffusion/grids/rules.py",
        "low ** (1 / self._rho), num_steps)", "low ** (1 / self._rho), num_steps + 1)[:-1]",
        ("test_grids.py::test_edm_rho_is_the_published_formula",),
    ),
    # denoiser, distributions ----------------------------------------------------------------------
    Mistake(
        "sigma for sigma^2 in the score", "diffusion/denoiser.py",
        "(denoised - x) / per_sample(sigma, x) ** 2", "(denoised - x) / per_sample(sigma, x)",
        ("test_denoiser.py",),
    ),
    Mistake(
        "std for variance in a mixture's denoiser", "distributions/gaussian_mixture.py",
        "kept = (share @ self.stds**2)[:, None]", "kept = (share @ self.stds)[:, None]",
        ("distributions/test_distributions_mixture.py",),
    ),
    # samplers -------------------------------------------------------------------------------------
    Mistake(
        "Heun's second slope at the time of the first", "diffusion/samplers/heun.py",
        "first, t + alpha * h)", "first, t)", STEPS,
    ),
    Mistake(
        "the posterior's variance of the step before", "diffusion/samplers/ancestral.py",
        "posterior_variance(sigma, lower)",
        "posterior_variance(nodes.sigma[max(i - 1, 0)], sigma)", STEPS,
    ),
    Mistake(
        "sigma_t and sigma_s exchanged in the posterior's variance", "diffusion/samplers/ddim.py",
        "return sigma_s**2 * (sigma_t**2 - sigma_s**2) / sigma_t**2",
        "return sigma_t**2 * (sigma_t**2 - sigma_s**2) / sigma_s**2", STEPS,
    ),
    Mistake(
        "Langevin's step size without the square of sigma",
        "diffusion/samplers/annealed_langevin.py",
        "sqrt(2 * self.step_ratio) * sigma", "sqrt(2 * self.step_ratio * sigma)",
        ("samplers/test_exact_laws.py::test_annealed_langevin_is_its_own_recursion",),
    ),
    Mistake(
        "g for g^2 before the score", "diffusion/samplers/euler_maruyama.py",
        "/ 2 * g**2 * score)", "/ 2 * g * score)", STEPS,
    ),
    Mistake(
        "noise by the step, not by its root", "diffusion/samplers/euler_maruyama.py",
        "self.c * g * sqrt(-h)", "self.c * g * -h", STEPS,
    ),
    Mistake(
        "s(t) forgotten on the way back to y", "diffusion/samplers/reverse_diffusion.py",
        "return x / s_next", "return x / s", STEPS,
    ),
    Mistake(
        "the ratio of steps upside down in 2M", "diffusion/samplers/dpmpp_2m.py",
        "denoised + h / (2 * h_1) *", "denoised + h_1 / (2 * h) *", STEPS,
    ),
    Mistake(
        "standard deviations subtracted, not variances", "diffusion/samplers/edm_stochastic.py",
        "sqrt(raised**2 - sigma**2)", "(raised - sigma)", STEPS,
    ),
    Mistake(
        "the prior's std as a sum of stds", "diffusion/samplers/base.py",
        "(variance.double() + sigma**2).sqrt()", "variance.double().sqrt() + sigma",
        ("samplers/test_exact_laws.py::test_start_law",),
    ),
    Mistake(
        "a sign in the table of Dormand and Prince", "diffusion/samplers/dormand_prince.py",
        "-2187 / 6784", "2187 / 6784", ("likelihood/test_dormand_prince.py",),
    ),
    # randomness -----------------------------------------------------------------------------------
    Mistake(
        "the seed ignored", "randomness.py",
        'text = f"{stream}/{self.seed}/{', 'text = f"{stream}/{',
        ("test_randomness.py::test_streams_seeds_steps_and_indices_differ",),
    ),
    Mistake(
        "one noise for all steps", "randomness.py",
        "self._asked += 1", "self._asked = 1", ("test_randomness.py::test_sampling_noise",),
    ),
    Mistake(
        "variance for std in a Brownian bridge", "randomness.py",
        "math.sqrt((high - low) / 2**depth / 4)", "(high - low) / 2**depth / 4",
        ("test_randomness.py::test_increments_are_independent_standard_normals",),
    ),
    # likelihood -----------------------------------------------------------------------------------
    Mistake(
        "the divergence with the wrong sign", "diffusion/likelihood/ode.py",
        "(trace - d)[:, None]", "(d - trace)[:, None]",
        ("likelihood/test_ode.py::test_a_gaussian_with_its_own_prior_is_exact",),
    ),
    Mistake(
        "a decoder of variance 1/2", "diffusion/likelihood/elbo.py",
        "0.5 / lowest**2", "1 / lowest**2",
        ("likelihood/test_elbo.py::test_a_gaussian_chain_in_closed_form",),
    ),
    Mistake(
        "nats taken for bits", "diffusion/likelihood/bits.py",
        "nll / (d * math.log(2))", "nll / d", ("likelihood/test_bits.py",),
    ),
    # networks, data, ema, optimizers --------------------------------------------------------------
    Mistake(
        "the average decays with steps, not with images", "training/ema.py",
        "0.5 ** (batch_size / min", "0.5 ** (1 / min", ("test_ema.py",),
    ),
    Mistake(
        "standardised by the moments of held-out points", "data/finite.py",
        "self._moments = ElementMoments.of(seen.blocks())",
        "self._moments = ElementMoments.of(held_out.blocks())",
        (
            "data/test_finite_data.py"
            "::test_training_points_are_standardised_by_their_own_moments",
        ),
    ),
    Mistake(
        "an nll that does not grow with the units of single columns", "data/units.py",
        "float(self.units.scale.log().mean())", "0.0",
        ("experiment/test_elements.py",),
    ),
    Mistake(
        "averages of weights from before a move", "training/ema.py",
        "if next(self._module.parameters()) is not self._live[0]:", "if False:",
        ("devices/test_devices.py::test_averages_are_of_the_weights_that_train",),
    ),
    Mistake(
        "noise of a sampling step that the host waits for", "machine/device.py",
        "return tensor.to(device, non_blocking=True)", "return tensor.to(device)",
        ("devices/test_devices.py::test_a_step_of_sampling_is_not_waited_for",),
    ),
    Mistake(
        "the unbiased variance, under which data have not the std that is said", "data/units.py",
        "share * (points.var(0, correction=0) - variance)", "share * (points.var(0) - variance)", (
            "data/test_finite_data.py"
            "::test_training_points_are_standardised_by_their_own_moments",
        ),
    ),
    Mistake(
        "every epoch in the same order", "data/base.py",
        'permutation("data", self._length, epoch)', 'permutation("data", self._length)',
        ("data/test_toy_data.py::test_a_finite_set_comes_in_a_new_order_each_epoch",),
    ),
    Mistake(
        "shifted before it is scaled", "data/standardized.py",
        "x.double() * self.scale + self.shift", "(x.double() + self.shift) * self.scale",
        ("data/test_toy_data.py::test_units_go_there_and_back",),
    ),
    Mistake(
        "the second data set stays behind where a batch is cut or moved", "data/batch.py",
        "None if source is None else change(source)", "source",
        ("data/test_batch.py::test_every_tensor_is_moved_cut_and_counted",),
    ),
    Mistake(
        "the learning rate of the step before", "training/optimizers.py",
        "min(1.0, (step + 1) / max", "min(1.0, step / max", ("test_optimizers.py",),
    ),
    # formulations ---------------------------------------------------------------------------------
    Mistake(
        "a chain's variances for its noise levels", "diffusion/formulations/ddpm.py",
        "return torch.expm1(-torch.log1p(-squares).cumsum(0)).sqrt()",
        "return torch.expm1(-torch.log1p(-squares).cumsum(0))", ("formulations/test_chains.py",),
    ),
    Mistake(
        "the mean over the batch, not over the elements", "diffusion/formulations/diffusion.py",
        "(denoised - x0).square().flatten(1).mean(1)",
        "(denoised - x0).square().flatten(1).mean(0).mean().expand(len(x0))",
        ("formulations/test_paper_losses.py",),
    ),
    Mistake(
        "accumulated gradients summed, not averaged", "training/module.py",
        "objective = objective / len(parts)", "objective = objective * 1",
        ("ranks/test_together.py::test_one_process_in_parts_trains_as_in_one",),
    ),
    # metrics --------------------------------------------------------------------------------------
    Mistake(
        "W1 of unsorted samples", "metrics/wasserstein.py",
        "samples = sort_rows(dim_zero_cat(self.samples))",
        "samples = dim_zero_cat(self.samples)", (
            "metrics/test_distances.py::test_w1_agrees_with_scipy_and_pot",
        ),
    ),
    Mistake(
        "the mean of roots for the root of the mean", "metrics/sliced_wasserstein.py",
        "order=2).mean().sqrt()", "order=2).sqrt().mean()", (
            "metrics/test_distances.py"
            "::test_sliced_w2_of_a_shift_averages_the_squares_of_its_components",
        ),
    ),
    Mistake(
        "the spread of halves taken for that of all", "metrics/blocks.py",
        "diff(dim=1).square().mean()) / 4", "diff(dim=1).square().mean()) / 2",
        ("experiment/test_standard_errors.py::test_of_a_mean_it_is_the_textbooks",),
    ),
    # analysis -------------------------------------------------------------------------------------
    Mistake(
        "a floor not divided by d", "diffusion/analysis/mmse_curve.py",
        "Estimate(estimate.value / d,", "Estimate(estimate.value,",
        ("analysis/test_floors.py::test_in_d_dimensions_floors_are_those_of_a_coordinate_on_average",),
    ),
    Mistake(
        "the gain of the variance for that of the std", "diffusion/analysis/gaussian_errors.py",
        "torch.exp((logs + noise) / 2)", "torch.exp(logs + noise)",
        ("analysis/test_gaussian_errors.py::test_an_adaptive_solver_is_exact_to_its_tolerance",),
    ),
    Mistake(
        "a prior's quantile at the wrong noise", "diffusion/analysis/error_budget.py",
        "law.quantile(law.cdf(start, high), low)", "law.quantile(law.cdf(start, low), low)",
        ("analysis/test_error_budget.py::test_the_matched_prior_is_exact_on_a_gaussian",),
    ),
    # experiment -----------------------------------------------------------------------------------
    Mistake(
        "the optimizer's state left out of checkpoints", "training/callbacks.py",
        "self._folder.save(trainer.global_step, trainer.save_checkpoint)",
        "self._folder.save(\n                trainer.global_step, "
        "lambda path: trainer.save_checkpoint(path, weights_only=True)\n            )",
        ("experiment/test_resume.py::test_everything_that_learns_is_continued",),
    ),
    Mistake(
        "the seed left out of a model's identity", "store/identity.py",
        '"trainer": steps, "seed": config["seed"]}', '"trainer": steps}',
        ("experiment/test_identity.py::test_the_training_s_part_of_a_configuration",),
    ),
    Mistake(
        "s(t) forgotten in the law of x_t", "diffusion/evaluations/noised.py",
        "return s * math.sqrt(float(self.law.variance) +",
        "return math.sqrt(float(self.law.variance) +",
        ("experiment/test_lecture_evaluations.py::test_the_noised_law_is_that_of_noised_points",),
    ),
    Mistake(
        "evaluations of all samples, not of one", "evaluations/sample.py",
        "dtype=torch.float64))) / count,", "dtype=torch.float64))),",
        (
            "experiment/test_known_data.py"
            "::test_a_heun_run_from_quantiles_is_that_of_another_program",
        ),
    ),
    # processes ------------------------------------------------------------------------------------
    Mistake(
        "another process of the same number taken for the one that was waited for",
        "machine/orphans.py", "return _begun(int(number)) == begun",
        "return bool(_begun(int(number)))",
        ("cli/test_orphans.py::test_a_number_that_is_given_anew_is_another_process",),
    ),
    Mistake(
        "a process that has ended, and is still listed, taken for one at work",
        "machine/orphans.py",
        'fields[0] in "ZX"', 'fields[0] in "X"',
        ("cli/test_orphans.py::test_a_process_ends_with_the_one_it_waits_for",),
    ),
    Mistake(
        "a switch asked by presence", "machine/environment.py",
        'return env.get(name) == "1"', "return bool(env.get(name))",
        ("cli/test_odd_places.py::test_a_switch_is_on_by_1_alone_as_in_hydra",),
    ),
    Mistake(
        "ranks of one machine that listen where the environment says", "machine/ranks.py",
        "    if is_here:\n        _stay_inside()\n", "",
        ("cli/test_doctor.py::test_two_ranks_meet_and_nothing_is_left",),
    ),
    # signals --------------------------------------------------------------------------------------
    Mistake(
        "a signal that is swallowed is lost", "machine/signals.py",
        "if is_heard and self.asked and not (self._held", "if False and not (self._held",
        ("faults/test_signals.py::test_a_swallowed_signal_ends_the_run",),
    ),
    Mistake(
        "what a library makes of a signal is a failure of the run", "machine/signals.py",
        "if not (is_end or isinstance", "if False and not (is_end or isinstance",
        ("faults/test_signals.py::test_what_a_library_makes_of_a_signal_is_no_failure",),
    ),
    Mistake(
        "a signal ends a run while its record is written", "experiment/run.py",
        "with held(path), SIGNALS.held():", "with held(path):",
        ("faults/test_signals.py::test_a_signal_while_a_record_is_written_tears_nothing",),
    ),
)  # fmt: skip
