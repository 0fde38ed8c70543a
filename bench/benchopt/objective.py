"""A benchopt benchmark: how well, and how fast, is the mean suboptimality of SGD's last iterate known?

    pip install benchopt; benchopt run bench/benchopt

It shows how `simulate` goes into somebody else's harness. Benchopt's "iterations" are thousands of replicates; the
objective is the standard error of their mean, which falls like 1/sqrt(replicates): the faster solver is lower at the
same time.
"""

from benchopt import BaseObjective


class Objective(BaseObjective):
    name = "Mean suboptimality of SGD"
    min_benchopt_version = "1.6"
    sampling_strategy = "iteration"

    def set_data(self, slope, horizon, base_lr, learning_rates):
        self.slope, self.horizon, self.base_lr, self.learning_rates = slope, horizon, base_lr, learning_rates

    def get_objective(self):
        return {
            "slope": self.slope,
            "horizon": self.horizon,
            "base_lr": self.base_lr,
            "learning_rates": self.learning_rates,
        }

    def evaluate_result(self, mean, stderr, replicates):
        return {"value": stderr, "mean": mean, "replicates": replicates}

    def get_one_result(self):
        return {"mean": 0.0, "stderr": 1.0, "replicates": 2}
