"""Methods written out in NumPy from the papers, number by number of a point, and the problem they are tried on."""

import inspect

import numpy as np

from anneal_sgd import methods, problems, schedules

CURVATURE = np.array([1.0, 3.0, 0.2])
START = np.array([1.5, -0.7, 2.5])
BASE_LR, HORIZON = 0.3, 50
SCHEDULE = schedules.Cosine(floor=0.1)


def gradient(x):
    return CURVATURE * x + 2.0 * np.sin(2.0 * x + 1.0)


def value(x):
    return float(np.sum(CURVATURE * x * x / 2.0 - np.cos(2.0 * x + 1.0)) + 4.0)


def problem(**options):
    return problems.Custom(
        lambda x: np.sum(CURVATURE * x * x / 2.0 - np.cos(2.0 * x + 1.0)) + 4.0, x0=START, minimum=0.0, **options
    )


def rates():
    return BASE_LR * SCHEDULE.values(HORIZON)


def walked(step):
    """Points x_0 .. x_T of `step(x, g, lr, t, state) -> x`, state a dictionary that is empty at first."""
    if not inspect.signature(step).parameters:
        return step()
    x, state, points = START.copy(), {}, [START.copy()]
    for t, lr in enumerate(rates(), 1):
        x = step(x, gradient(x), lr, t, state)
        points.append(x)
    return np.array(points)


def sgd(momentum=0.0, nesterov=False, weight_decay=0.0):
    def step(x, g, lr, t, state):
        g = g + weight_decay * x
        v = state["v"] = momentum * state.get("v", 0.0) + g
        return x - lr * (g + momentum * v if nesterov else v)

    return step


def mean_of(state, g, momentum):
    m = state["m"] = momentum * state.get("m", 0.0) + (1.0 - momentum) * g
    return m


def sign_sgd(momentum=0.0):
    return lambda x, g, lr, t, state: x - lr * np.sign(mean_of(state, g, momentum))


def normalized_sgd(momentum=0.0):
    def step(x, g, lr, t, state):
        m = mean_of(state, g, momentum)
        return x - lr * m / np.sqrt(m @ m)

    return step


def clipped(inner, threshold, by="norm"):
    def step(x, g, lr, t, state):
        if by == "norm":
            g = g * min(1.0, threshold / np.sqrt(g @ g))
        else:
            g = np.array([min(threshold, max(-threshold, one)) for one in g])
        return inner(x, g, lr, t, state)

    return step


def ada_grad(epsilon=1e-10, initial=0.0, weight_decay=0.0):
    def step(x, g, lr, t, state):
        g = g + weight_decay * x
        s = state["s"] = state.get("s", initial) + g**2
        return x - lr * g / (np.sqrt(s) + epsilon)

    return step


def ada_grad_norm(initial=0.01):
    def step(x, g, lr, t, state):
        b = state["b"] = np.hypot(state.get("b", initial), np.sqrt(g @ g))
        return x - lr / b * g

    return step


def rmsprop(alpha=0.99, epsilon=1e-8, momentum=0.0, centered=False, weight_decay=0.0):
    def step(x, g, lr, t, state):
        g = g + weight_decay * x
        s = state["s"] = alpha * state.get("s", 0.0) + (1.0 - alpha) * g**2
        a = state["a"] = alpha * state.get("a", 0.0) + (1.0 - alpha) * g
        u = g / (np.sqrt(s - a**2 if centered else s) + epsilon)
        b = state["b"] = momentum * state.get("b", 0.0) + u
        return x - lr * b

    return step


def adam(beta1=0.9, beta2=0.999, epsilon=1e-8, amsgrad=False, weight_decay=0.0, decoupled=False):
    def step(x, g, lr, t, state):
        if not decoupled:
            g = g + weight_decay * x
        m = state["m"] = beta1 * state.get("m", 0.0) + (1.0 - beta1) * g
        v = state["v"] = beta2 * state.get("v", 0.0) + (1.0 - beta2) * g**2
        if amsgrad:
            v = state["largest"] = np.maximum(state.get("largest", 0.0), v)
        u = m / (1.0 - beta1**t) / (np.sqrt(v / (1.0 - beta2**t)) + epsilon)
        return x - lr * u - (lr * weight_decay * x if decoupled else 0.0)

    return step


def schedule_free(momentum=0.9, degree=0.0, lr_power=2.0, beta2=None, epsilon=1e-8, weight_decay=0.0):
    """With gradients at y, which no other method has: walks by itself."""

    def walk():
        x, z, v, total, largest, found = START.copy(), START.copy(), 0.0, 0.0, 0.0, [START.copy()]
        for t, lr in enumerate(rates(), 1):
            y = (1.0 - momentum) * z + momentum * x
            u = gradient(y)
            if beta2 is not None:
                v = beta2 * v + (1.0 - beta2) * u**2
                u = u / (np.sqrt(v / (1.0 - beta2**t)) + epsilon)
            z = z - lr * (u + weight_decay * y)
            largest = max(largest, lr)
            weight = t**degree * largest**lr_power
            total += weight
            x = x + weight / total * (z - x)
            found.append(x)
        return np.array(found)

    return walk


def dog(initial=1e-6):
    def step(x, g, lr, t, state):
        r = max(state.get("r", initial * (1.0 + np.linalg.norm(START))), np.linalg.norm(x - START))
        state["r"], state["G"] = r, state.get("G", 0.0) + g @ g
        return x - lr * r / np.sqrt(state["G"] + 1e-8) * g

    return step


def polyak_max(minimum=0.0, c=0.5):
    return lambda x, g, lr, t, state: x - min(lr, max(value(x) - minimum, 0.0) / (c * (g @ g))) * g


def ngn(minimum=0.0):
    def step(x, g, lr, t, state):
        above = value(x) - minimum
        return x if above <= 0.0 else x - lr / (1.0 + lr * (g @ g) / (2.0 * above)) * g

    return step


def extra_gradient(*ascent):
    s = np.where(np.isin(np.arange(3), ascent), -1.0, 1.0)
    return lambda x, g, lr, t, state: x - lr * s * gradient(x - lr * s * g)


def descent_ascent(*ascent, alternating=False):
    up = np.isin(np.arange(3), ascent)

    def step(x, g, lr, t, state):
        moved = np.where(up, x, x - lr * g)
        later = gradient(moved) if alternating else g
        return np.where(up, moved + lr * later, moved)

    return step


CASES = {
    "sgd": (methods.SGD(), sgd()),
    "momentum": (methods.SGD(momentum=0.9), sgd(0.9)),
    "nesterov": (methods.SGD(momentum=0.8, nesterov=True), sgd(0.8, True)),
    "weight decay": (methods.SGD(weight_decay=0.3), sgd(weight_decay=0.3)),
    "all of sgd": (methods.SGD(0.7, True, 0.2), sgd(0.7, True, 0.2)),
    "sign": (methods.SignSGD(), sign_sgd()),
    "signum": (methods.SignSGD(momentum=0.6), sign_sgd(0.6)),
    "normalized": (methods.NormalizedSGD(), normalized_sgd()),
    "normalized, momentum": (methods.NormalizedSGD(momentum=0.6), normalized_sgd(0.6)),
    "clipped by norm": (methods.Clipped(methods.SGD(), 0.8), clipped(sgd(), 0.8)),
    "clipped by value": (methods.Clipped(threshold=0.5, by="value"), clipped(sgd(), 0.5, "value")),
    "clipped adam": (methods.Clipped(methods.Adam(beta2=0.9), 0.8), clipped(adam(beta2=0.9), 0.8)),
    "adagrad": (methods.AdaGrad(), ada_grad()),
    "adagrad, all": (methods.AdaGrad(1e-3, 0.4, 0.1), ada_grad(1e-3, 0.4, 0.1)),
    "adagrad-norm": (methods.AdaGradNorm(0.3), ada_grad_norm(0.3)),
    "rmsprop": (methods.RMSProp(), rmsprop()),
    "rmsprop, momentum": (methods.RMSProp(0.9, 1e-4, 0.5), rmsprop(0.9, 1e-4, 0.5)),
    "rmsprop, centered": (methods.RMSProp(0.8, 0.2, centered=True), rmsprop(0.8, 0.2, centered=True)),
    "rmsprop, all": (methods.RMSProp(0.8, 0.2, 0.5, True, 0.1), rmsprop(0.8, 0.2, 0.5, True, 0.1)),
    "adam": (methods.Adam(), adam()),
    "adam, numbers": (methods.Adam(0.5, 0.7, 1e-3), adam(0.5, 0.7, 1e-3)),
    "adam, no beta1": (methods.Adam(beta1=0.0, beta2=0.9), adam(0.0, 0.9)),
    "adam, no beta2": (methods.Adam(beta1=0.9, beta2=0.0, epsilon=0.5), adam(0.9, 0.0, 0.5)),
    "amsgrad": (methods.Adam(beta2=0.6, amsgrad=True), adam(beta2=0.6, amsgrad=True)),
    "adam, l2": (methods.Adam(beta2=0.9, weight_decay=0.2), adam(beta2=0.9, weight_decay=0.2)),
    "adamw": (
        methods.Adam(beta2=0.9, weight_decay=0.2, decoupled=True, amsgrad=True),
        adam(beta2=0.9, weight_decay=0.2, decoupled=True, amsgrad=True),
    ),
    "schedule-free": (methods.ScheduleFree(), schedule_free()),
    "schedule-free, all": (
        methods.ScheduleFree(methods.SGD(weight_decay=0.1), 0.7, 1.5, 1.0),
        schedule_free(0.7, 1.5, 1.0, weight_decay=0.1),
    ),
    "schedule-free adamw": (
        methods.ScheduleFree(methods.Adam(0.0, 0.95, weight_decay=0.1, decoupled=True), 0.8, 1.0),
        schedule_free(0.8, 1.0, beta2=0.95, weight_decay=0.1),
    ),
    "dog": (methods.DoG(), dog()),
    "dog, initial": (methods.DoG(0.03), dog(0.03)),
    "polyak": (methods.PolyakMax(), polyak_max()),
    "polyak, all": (methods.PolyakMax(2.0, 1.5), polyak_max(2.0, 1.5)),
    "ngn": (methods.NGN(), ngn()),
    "ngn, minimum": (methods.NGN(2.5), ngn(2.5)),
    "langevin, cold": (methods.Langevin(0.0), sgd()),
    "extragradient": (methods.ExtraGradient(), extra_gradient()),
    "extragradient of a saddle": (methods.ExtraGradient((0, 2)), extra_gradient(0, 2)),
    "descent-ascent": (methods.DescentAscent(1), descent_ascent(1)),
    "alternating": (methods.DescentAscent(1, alternating=True), descent_ascent(1, alternating=True)),
}
"""By name: a method, and what it is to be."""


def entangled(d):
    """A method whose parts of the state become each other, in another order, and the point before the step."""

    def update(x, g, lr, t, a, b, old, count, scale, gradient, draw, value):
        move = old[::-1] * 0.1 + b + gradient(0.5 * (x + old)) + 0.05 * draw.gaussian() / t + lr * scale * value
        return move, {
            "a": b[::-1],
            "b": a,
            "old": x[::-1],
            "count": t + 0 * count,
            "scale": np.max(g) - np.min(gradient(x + a)) + count,
        }

    state = {"a": np.linspace(-0.2, 0.1, d), "b": np.zeros(d), "old": lambda x: 2.0 * x, "count": 0.0, "scale": 0.5}
    return methods.Custom(update, state=state, dimension=d)


def delayed(d):
    """The gradient of the step before, and a point that is replaced."""
    return methods.Custom(lambda g, last: (last, {"last": g}), state={"last": np.ones(d)}, dimension=d)


def replacing(d):
    """A point after the step that is a part of the state before it."""
    return methods.Custom(
        lambda x, g, lr, last: (last[::-1], {"last": x - lr * g}),
        state={"last": lambda x: x},
        dimension=d,
        moves="next",
    )


HARD = (entangled, delayed, replacing)
"""Of d coordinates: methods that no order of writing suits by chance."""


def shifted(d):
    """What moves zeros, of which rows are padded with some."""
    return methods.Custom(lambda x, g: g + 1.0, dimension=d)


def drawing(d):
    """Draws of all kinds, one for all coordinates among them."""
    return methods.Custom(
        lambda g, draw, m: (
            g + draw.gaussian() * draw.rademacher() + draw.laplace() + draw.uniform(size=()),
            {"m": 0.5 * m + draw.rademacher()},
        ),
        state={"m": np.zeros(d)},
        dimension=d,
    )


def reducing(d):
    """Every operation that takes several numbers, and slices of them."""
    matrix = np.random.default_rng(d).standard_normal((3, d)) / d
    return methods.Custom(
        lambda x, g, a, value: (
            np.where(g == np.max(g), 2.0, 1.0) * g + np.sum(matrix @ x) * a[::-1] + np.min(x) + value * x[0],
            {"a": (x + g)[::-1], "b": np.dot(x[::2], x[::2]) - g[1:4]},
        ),
        state={"a": np.linspace(-1.0, 1.0, d), "b": lambda x: 2.0 * x[:3]},
        dimension=d,
    )


HARD_ON_DATA = (shifted, drawing, reducing)
"""The same on data, of four coordinates at least."""
