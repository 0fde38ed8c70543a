"""What theory says: bounds and worst cases of the last iterate for any schedule, exact moments of the noisy quadratic.

**Symbols.** T is `horizon`, h the schedule, `lr_t = base_lr * h_t` the learning rate of step t, rho the
`misspecification` (`base_lr = rho * tuned_base_lr`), D the `distance` (an upper bound on the distance from the iterates
to the minimiser), G the `gradient_bound` (`E|g|^2 <= G^2` for every stochastic gradient g). Units: D is a distance, G a
suboptimality per distance; `base_lr` has the unit of D / G, a bound that of D * G. Both may be 1e-100 to 1e100. Steps
are t = 1..T here, the paper's count; step t is the simulator's 0-based step t - 1. Sums over steps are added one after
another: relative errors are 1e-15 at T = 1000 and may be 1e-9 at T = 10^8.

**The bound.** For projected SGD `x_{t+1} = P(x_t - lr_t g_t)` on a convex function, any weights `w_1 .. w_n >= 0` with
`w_t = lr_t` for t < n and `w_n > 0`, and any start k, with `W_j = w_j + ... + w_n`:

    E f(x_n) - f* <= D^2 / (2 W_k) + (G^2 / 2) [ sum_{t=k}^{n-1} w_t^2 / W_{t+1} + w_n ]

(Schaipp et al., arXiv 2501.18965, Theorem 3.1, whose double sum telescopes to this because
`w_j / (W_{j+1} W_j) = 1 / W_{j+1} - 1 / W_j`; after Zamani and Glineur, 2023, and Defazio et al., 2023.) It holds for
each k, so the best one counts, and that gives the sublinear dependence on rho of Attia and Koren, arXiv 2503.09411. A
value above D * G says nothing: f(x) - f* never exceeds it.

**Which point it bounds.** The theorem speaks of `x_n`, the point *where* the n-th gradient would be taken: `x_n` does
not depend on `w_n`. The simulator's last iterate is the point *after* T updates, `x_{T+1}`. So n = T + 1 here: the T
learning rates of the run, then one free weight, as if one more step followed. (The theorem's formula with n = T does
not bound `x_{T+1}`: for T = 1, f = G|x| on the line and a large learning rate it is half of the true value.) The free
weight, the closing weight, is

    w_{T+1} = max_t (lr_t - (lr_{t+1} + ... + lr_T)),

the smallest weight with which no step exceeds the sum of all that follows it. For a constant, a linear and a floored
schedule it is the last learning rate over again; where the last learning rates are zero or negligible it is set by the
last ones that are not, so that no `W_j` vanishes and schedules that end in zeros need no special case. Compared with
the theorem's own sum over T weights a bound changes by a fraction that vanishes as T - k grows.

**The worst case.** The theorem of Defazio et al. (arXiv 2310.07831, Theorem 1) has other weights: with
`lr_t = w_t W_{t+1} / W_k` the point `x_{T+1}` obeys

    E f(x_{T+1}) - f* <= (D^2 + G^2 sum_{t=k}^{T+1} w_t^2) / (2 W_k).

With `q_t = W_t / sqrt(W_k)` that is `lr_t = q_{t+1} (q_t - q_{t+1})`, whatever the start, and the sum of the squares of
`q_t - q_{t+1}`, with `q_{T+2} = 0`, is `q_k^2 - 2 S_k` with `S_k = lr_k + ... + lr_T`: so only `q_k` is free, as
`q_t = q_{t+1} + lr_t / q_{t+1}` lets `q_{T+1} > 0` be anything. It reaches down to `sqrt(M_k)`, where `M_{T+1} = 0` and

    M_t = M_{t+1} + 2 lr_t + lr_t^2 / M_{t+1}, or 4 lr_t where lr_t > M_{t+1}.

The best `q_k^2` is `D / G` where that can be reached, else `M_k`. So in closed form (ours) the worst case is

    D^2 / (2 M_k) + G^2 N_k / 2 with N_k = M_k - 2 S_k,
    D G - G^2 S_k where M_k <= D / G.

It holds for projected SGD too (the argument of Zamani and Glineur, 2023). For k = 1 and without projection it is
attained: semidefinite programs (PEPit) give the same value, and `f(x) = max_t <g_t, x - x*>` leaves it, where
`<g_t, g_s>` is the same for all s > t, `|g_t| = G`, `x_1 - x* = sum w_t g_t` and `<g_t, x_1 - x*> = D^2 / W_1`.

**A doubtful learning rate.** The minimax functions say what is best when the learning rate is known to within a factor:
the schedule `schedules.Minimax`, its base_lr, and what it and other schedules guarantee. docs/theory.md derives them.
"""

from __future__ import annotations

from ._bound import Bound
from ._last_iterate import (
    asymptotic_exponent,
    last_iterate_bound,
    local_exponent,
    tolerated_misspecification,
    tuned_base_lr,
    tuned_rate,
)
from ._minimax import best_degree, hedged_base_lr, minimax_base_lr, minimax_steps, minimax_value, polynomial_value
from ._quadratic import QuadraticMoments, quadratic_moments
from ._steps import ScheduleLike
from ._worst_case import worst_case, worst_case_weights

__all__ = [
    "Bound",
    "QuadraticMoments",
    "ScheduleLike",
    "asymptotic_exponent",
    "best_degree",
    "hedged_base_lr",
    "last_iterate_bound",
    "local_exponent",
    "minimax_base_lr",
    "minimax_steps",
    "minimax_value",
    "polynomial_value",
    "quadratic_moments",
    "tolerated_misspecification",
    "tuned_base_lr",
    "tuned_rate",
    "worst_case",
    "worst_case_weights",
]
