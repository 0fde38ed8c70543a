import math

import numpy as np

from benchopt import BaseSolver


class Solver(BaseSolver):
    """The same in NumPy, all replicates of a step at once."""

    name = "NumPy"
    sampling_strategy = "iteration"

    def set_objective(self, slope, horizon, base_lr, learning_rates):
        self.slope, self.learning_rates = slope, learning_rates

    def run(self, iterations):
        rng = np.random.default_rng(0)
        x, std = np.ones(1024 * max(1, iterations)), math.sqrt(1.0 - self.slope**2)
        for lr in self.learning_rates:
            signs = 2.0 * rng.integers(0, 2, x.size) - 1.0
            x = np.clip(x - lr * (self.slope * np.sign(x) + std * signs), -1.0, 1.0)
        self.values = self.slope * np.abs(x)

    def get_result(self):
        n = self.values.size
        return {"mean": self.values.mean(), "stderr": self.values.std(ddof=1) / math.sqrt(n), "replicates": n}
