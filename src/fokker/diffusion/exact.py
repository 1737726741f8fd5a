"""The ideal denoiser in place of a network."""

from typing import final

from fokker.diffusion.denoiser import ExactDenoiser
from fokker.distributions import Distribution


@final
class Exact:
    """The ideal denoiser `D*(x; sigma) = E[x0 | x0 + sigma n = x]` of the data's own law.

    Nothing is trained, and the preconditioning plays no part, so that a sampler, a grid and an SDE
    are judged with no learning error.
    """

    #: Whether it makes something whose weights take memory.
    has_weights = False

    def __call__(self, law: Distribution | None) -> ExactDenoiser:
        """Return the denoiser of a law in the model's units.

        Raises:
            ValueError: if the law is not known.
        """
        if law is None:
            raise ValueError(
                "network=exact needs data whose law is known or that are a finite set, and these "
                "are neither; choose another network, such as network=mlp"
            )
        return ExactDenoiser(law)
