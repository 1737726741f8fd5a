"""The noise levels between which single precision tells data and noise apart."""

#: Beyond these a state in single precision is its signal alone, or its noise alone.
LOWEST_NOISE, HIGHEST_NOISE = 1e-8, 1e8
