from anneal_sgd import Simulator, problems, schedules
from benchopt import BaseSolver


class Solver(BaseSolver):
    """This package: what a harness needs is a Simulator, made once, and a call."""

    name = "anneal_sgd"
    sampling_strategy = "iteration"

    def set_objective(self, slope, horizon, base_lr, learning_rates):
        problem = problems.AbsoluteValue(
            slope=slope, noise="rademacher", second_moment=1.0, projection=("box", -1.0, 1.0), x0=1.0
        )
        self.simulator, self.arguments = Simulator(problem), {"base_lr": base_lr, "horizon": horizon}

    def run(self, iterations):
        self.result = self.simulator.run(schedules.Cosine(), replicates=1024 * max(1, iterations), **self.arguments)

    def get_result(self):
        result = self.result
        return {"mean": float(result.mean), "stderr": float(result.stderr), "replicates": result.replicates}
