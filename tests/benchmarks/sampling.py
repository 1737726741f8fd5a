"""Drawing samples against others' loops, in turns in one process."""

import os
from collections.abc import Callable, Iterator
from time import perf_counter

import torch
from torch import Tensor

import tiny_runs
from fokker.evaluations.sample import draw_samples

SAMPLES = 10_000


def heun_rounds(device: str = "cpu") -> Iterator[tuple[float, float]]:
    """Seconds of 10,000 samples at N = 18 by `sampler=heun`, and by the plain loop."""
    made = tiny_runs.compose_experiment(
        "data=ring8", "network.width=128", "network.depth=3", "sampler=heun",
        "sampler.num_steps=18", "grid=edm_rho",
    )  # fmt: skip
    model, sampling = made.model.eval().to(device), made.plan.ways[0]
    # As a trained one: at first the output layer is 0, which costs as much.
    network, sigma_data = model.denoiser.network, model.data.sigma_data

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        total = sigma**2 + sigma_data**2
        c_noise = (sigma.log() / 4).to(torch.float32).expand(len(x))
        output = network((x / total.sqrt()).to(torch.float32), c_noise)
        return sigma_data**2 / total * x + sigma * sigma_data / total.sqrt() * output.double()

    while True:
        begun = perf_counter()
        draw_samples(sampling, SAMPLES, 0)
        ours = perf_counter() - begun
        begun = perf_counter()
        _edm_loop(denoise, 18, (SAMPLES, 2), device).cpu()
        yield ours, perf_counter() - begun


def gpu_rounds() -> Iterator[tuple[float, float]]:
    """Seconds a sample on a GPU, of as many samples."""
    return ((ours / SAMPLES, theirs / SAMPLES) for ours, theirs in heun_rounds("cuda"))


def dpmpp_2m_rounds() -> Iterator[tuple[float, float]]:
    """Seconds of 10,000 samples at N = 20 by `sampler=dpmpp_2m`, and by diffusers' scheduler."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from diffusers import EDMDPMSolverMultistepScheduler

    made = tiny_runs.compose_experiment(
        "data=ring8", "network.width=128", "network.depth=3", "sampler=dpmpp_2m",
        "sampler.num_steps=20", "grid=edm_rho",
    )  # fmt: skip
    model, sampling = made.model.eval(), made.plan.ways[0]
    network, scheduler = model.denoiser.network, EDMDPMSolverMultistepScheduler(solver_order=2)

    @torch.no_grad()
    def loop() -> Tensor:
        """As in its pipelines: EDM's levels and preconditioning are the scheduler's."""
        scheduler.set_timesteps(20)
        sample = torch.randn(SAMPLES, 2) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            output = network(scheduler.scale_model_input(sample, t), t.expand(SAMPLES))
            sample = scheduler.step(output, t, sample, return_dict=False)[0]
        return sample

    while True:
        begun = perf_counter()
        draw_samples(sampling, SAMPLES, 0)
        ours = perf_counter() - begun
        begun = perf_counter()
        loop()
        yield ours, perf_counter() - begun


@torch.no_grad()
def _edm_loop(
    denoise: Callable[[Tensor, Tensor], Tensor],
    n: int,
    shape: tuple[int, int],
    device: str,
) -> Tensor:
    """Algorithm 1 of Karras 2022 with states in float64, as in its authors' code."""
    low, high = 0.002 ** (1 / 7), 80 ** (1 / 7)
    steps = (high + torch.arange(n, dtype=torch.float64) / (n - 1) * (low - high)) ** 7
    nodes = torch.cat([steps, torch.zeros(1, dtype=torch.float64)]).to(device)
    x_next = torch.randn(shape, device=device).double() * nodes[0]
    for i in range(n):
        t, t_next, x = nodes[i], nodes[i + 1], x_next
        slope = (x - denoise(x, t)) / t
        x_next = x + (t_next - t) * slope
        if i < n - 1:
            correction = (x_next - denoise(x_next, t_next)) / t_next
            x_next = x + (t_next - t) * (slope + correction) / 2
    return x_next
