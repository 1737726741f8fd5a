"""The residual perceptron."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fokker.networks import MLP


def random_mlp(shape: tuple[int, ...], low: float = -2.0, high: float = 2.0, **sizes: int) -> MLP:
    """Random weights everywhere, the last layer's too, in float64."""
    network = MLP(shape, (low, high), **{"width": 8, "depth": 2, **sizes}).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.5, generator=generator)
    return network


def inputs(shape: tuple[int, ...], count: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = 0.3 + 2 * torch.randn(count, *shape, generator=generator, dtype=torch.float64)
    return x, torch.linspace(-2, 2, count, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(1,), (5,), (1, 8, 8), (3, 4, 2)])
def test_the_output_has_the_shape_of_the_input_and_is_0_at_first(shape: tuple[int, ...]) -> None:
    x, c_noise = inputs(shape)
    untrained = MLP(shape, (-2.0, 2.0), width=8, depth=2)
    assert torch.equal(untrained(x.float(), c_noise.float()), torch.zeros(x.shape))
    output = random_mlp(shape)(x, c_noise)
    assert output.shape == x.shape
    assert output.dtype == torch.float64
    assert float(output.detach().std()) > 0.01


def test_a_gradient_reaches_every_weight_once_the_last_layer_is_not_0() -> None:
    network, (x, c_noise) = random_mlp((5,)), inputs((5,))
    network(x, c_noise).square().mean().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert float(weight.grad.abs().max()) > 0, name


def test_samples_do_not_see_each_other() -> None:
    network, (x, c_noise) = random_mlp((3, 2)), inputs((3, 2))
    together = network(x, c_noise)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(network(x[order], c_noise[order]), together[order])
    for i in range(len(x)):
        torch.testing.assert_close(network(x[i : i + 1], c_noise[i : i + 1])[0], together[i])


def test_one_noise_level_for_all_is_embedded_once_to_the_same_effect() -> None:
    network, (x, _) = random_mlp((4,)), inputs((4,))
    one = torch.tensor(0.7, dtype=torch.float64)
    torch.testing.assert_close(network(x, one.expand(6)), network(x, one.repeat(6)))
    assert network(x[:0], one.expand(0)).shape == (0, 4)


def test_only_the_place_of_c_noise_in_its_range_matters() -> None:
    x, c_noise = inputs((4,))
    wide = random_mlp((4,), 0.0, 999.0)(x, 999 * (c_noise + 2) / 4)
    torch.testing.assert_close(random_mlp((4,))(x, c_noise), wide)


def test_the_output_depends_on_the_noise_level() -> None:
    network, (x, c_noise) = random_mlp((4,)), inputs((4,))
    difference = network(x, c_noise) - network(x, c_noise + 0.01)
    assert float(difference.detach().abs().min()) > 0


@pytest.mark.parametrize("count", [1, 5])
def test_the_features_are_waves_of_a_half_to_so_many_half_periods(count: int) -> None:
    network = random_mlp((4,), 10.0, 30.0, num_frequencies=count)
    seen: list[Tensor] = []
    network.embed.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    places = [0.0, 0.25, 0.5, 1.0]
    network(inputs((4,), 4)[0], torch.tensor([10 + 20 * p for p in places], dtype=torch.float64))
    waves = range(1, count + 1)
    expected = [
        [math.cos(math.pi * k * p) for k in waves] + [math.sin(math.pi * k * p) for k in waves]
        for p in places
    ]
    torch.testing.assert_close(seen[0], torch.tensor(expected).double(), atol=1e-5, rtol=0)


def test_blocks_are_added_to_what_comes_in() -> None:
    network, (x, c_noise) = random_mlp((4,), depth=3), inputs((4,))
    with torch.no_grad():
        for block in network.blocks:
            block.outer.weight.zero_()
            block.outer.bias.zero_()
    torch.testing.assert_close(network(x, c_noise), network.last(network.first(x)))


def test_only_weights_are_saved() -> None:
    network = random_mlp((4,))
    assert set(network.state_dict()) == {name for name, _ in network.named_parameters()}


def test_a_condition_is_refused() -> None:
    x, c_noise = inputs((4,))
    with pytest.raises(ValueError, match="network=mlp takes no condition"):
        random_mlp((4,))(x, c_noise, torch.zeros(6))


@pytest.mark.parametrize("key", ["width", "depth", "num_frequencies"])
@pytest.mark.parametrize("value", [0, -3])
def test_sizes_below_1_are_refused(key: str, value: int) -> None:
    sizes: dict[str, Any] = {key: value}
    with pytest.raises(ValueError, match=rf"network\.{key} must be at least 1, got {value}"):
        MLP((4,), (-2.0, 2.0), **sizes)
