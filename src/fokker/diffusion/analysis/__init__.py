"""Analysis: floors, error budgets, exact Gaussian errors and the equations in one dimension."""
