"""Problems whose minimum is known or can be computed: separable test functions, and models fitted to data.

**Separable problems**: `AbsoluteValue`, `Quadratic` and `Huber`, of d coordinates. With x a point, f the objective, f*
its minimum over the set and xi a draw of mean 0 and variance 1 per coordinate and step, one step of SGD is

    x <- P(x - lr (f'(x) + noise_std xi)),

P the projection onto the set. An array of shape (d,) is one d-dimensional problem; a number holds for every
coordinate, of which there are `dimension` (by default 1, or as many as the arrays have).

- `noise`: what xi is: "none", "rademacher" (+1 or -1), "gaussian" or "uniform" on [-sqrt(3), sqrt(3)].
- the level of the noise, needed unless `noise` is "none", as one of two: `noise_std` >= 0, a number or (d,), in units
  of a gradient; or `second_moment` = G^2, the supremum over the set of the expected squared norm of a stochastic
  gradient: `noise_std = sqrt((G^2 - sup |f'|^2) / d)` in every coordinate.
- `projection`: the set. None (everything), ("box", lower, upper) with lower < upper, numbers or (d,), or ("ball",
  radius) about the origin.
- `x0`: the start, a number or (d,), inside the set; 1 by default.

**Problems on data**: `LeastSquares`, `LogisticRegression`, `SoftmaxRegression`, `HingeLoss`, `LinearModel` with a loss
of one's own, and the network `MLP`, of n rows (X_i, y_i). With z(x, X_i) the model's outputs and B the rows of a step's
minibatch,

    f(x) = mean_i s_i loss(z(x, X_i), y_i) + l2 / 2 |weights|^2,
    g = mean_{i in B} s_i loss' + l2 weights.

- `X`: features, (n, d), float32 or float64 (other numbers become float64), contiguous or not; copied. `y`: (n,),
  numbers, or labels: whole numbers, text, or False and True. Frames and columns of pandas too; not sparse.
- `sample_weight`: how much each row counts, (n,), finite and >= 0, not all 0; s_i is row i's divided by their mean, so
  f of whole numbers is f of rows repeated so often. By default all s_i = 1. Rows are drawn as without weights, and a
  drawn row's derivative is multiplied by s_i: with replacement g is unbiased. A test set has no weights.
- `l2` >= 0; it leaves intercepts alone. `intercept`: whether outputs have one.
- `projection`: None or ("ball", radius) about the origin of all coordinates, intercepts included.
- `x0`: the start, (dimension,) or a number; by default 0, for `MLP` drawn. A point x lists, layer by layer, the weights
  of the first output or unit, of the second, ..., then the intercepts.
- `batch_size`: rows of a step. `sampling`: "with_replacement"; "reshuffling": epoch by epoch a new random order,
  without replacement; or "sequential": epoch by epoch in the order given, without chance. Where an epoch ends within a
  minibatch the next one goes on.
- `test`: (X, y) held out, for the metrics "test_loss" and "test_accuracy". Columns of frames are those of X, in their
  order. Rows of X and y go together by place: an index of pandas is not looked at.
- `problem.replace(l2=0.1)` is a problem with other parameters on the same data, which is not copied again.
- `random_classification` and `random_regression` make one on random data with noise in the labels.

**Any other function** is a `Custom`: what NumPy operations express is traced and runs in the same engine. It takes
metrics of one's own, which results keep as `OwnMetric`.

**Problems of the literature**, each a function that returns a `Custom`: on a stream of fresh samples
`streaming_least_squares`, `phase_retrieval` and `teacher_student`; `quadratic_form`, `rosenbrock`, `rastrigin`,
`ackley` and `styblinski_tang`; the largest of linear functions, `hard_max_of_linear` and `linf_regression`.

Problems are frozen, hashable and equal to another by content; their arrays are read-only. `Noise` and `Projection` are
types for annotations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._late import names_of

if TYPE_CHECKING:
    from ._base import Problem, Projection
    from ._custom import Custom
    from ._data import DataProblem
    from ._linear import HingeLoss, LeastSquares, LogisticRegression
    from ._linear_model import LinearModel
    from ._max_of_linear import hard_max_of_linear, linf_regression
    from ._network import MLP
    from ._own_metric import OwnMetric
    from ._random_data import random_classification, random_regression
    from ._separable import AbsoluteValue, Huber, Noise, Quadratic
    from ._softmax import SoftmaxRegression
    from ._streaming import phase_retrieval, streaming_least_squares, teacher_student
    from ._test_functions import ackley, quadratic_form, rastrigin, rosenbrock, styblinski_tang
else:
    __getattr__, __dir__ = names_of(
        __name__,
        {
            "_base": "Problem Projection",
            "_custom": "Custom",
            "_data": "DataProblem",
            "_linear": "HingeLoss LeastSquares LogisticRegression",
            "_linear_model": "LinearModel",
            "_max_of_linear": "hard_max_of_linear linf_regression",
            "_network": "MLP",
            "_own_metric": "OwnMetric",
            "_random_data": "random_classification random_regression",
            "_separable": "AbsoluteValue Huber Noise Quadratic",
            "_softmax": "SoftmaxRegression",
            "_streaming": "phase_retrieval streaming_least_squares teacher_student",
            "_test_functions": "ackley quadratic_form rastrigin rosenbrock styblinski_tang",
        },
    )

__all__ = [
    "MLP",
    "AbsoluteValue",
    "Custom",
    "DataProblem",
    "HingeLoss",
    "Huber",
    "LeastSquares",
    "LinearModel",
    "LogisticRegression",
    "Noise",
    "OwnMetric",
    "Problem",
    "Projection",
    "Quadratic",
    "SoftmaxRegression",
    "ackley",
    "hard_max_of_linear",
    "linf_regression",
    "phase_retrieval",
    "quadratic_form",
    "random_classification",
    "random_regression",
    "rastrigin",
    "rosenbrock",
    "streaming_least_squares",
    "styblinski_tang",
    "teacher_student",
]
