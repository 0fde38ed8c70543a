from typing import ClassVar

from anneal_sgd import schedules
from benchopt import BaseDataset


class Dataset(BaseDataset):
    """a|x| on [-1, 1] with Rademacher noise, E g^2 = 1, and a cosine schedule."""

    name = "absolute value"
    parameters: ClassVar = {"slope, horizon": [(0.1, 1000)]}

    def get_data(self):
        base_lr = 0.1
        rates = base_lr * schedules.Cosine().values(self.horizon)
        return {"slope": self.slope, "horizon": self.horizon, "base_lr": base_lr, "learning_rates": rates}
