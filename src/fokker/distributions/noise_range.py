"""The noise levels between which single precision tells data and noise apart."""

#: Beyond these a state in single precision is only its signal, or only its noise.
LOWEST_NOISE, HIGHEST_NOISE = 1e-8, 1e8
