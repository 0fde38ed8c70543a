"""What to write for functions that cannot be traced."""

_INSTEAD = {
    **dict.fromkeys(("fmax", "fmin"), "use np.maximum, np.minimum, where a NaN stays one"),
    "copysign": "use np.where(y < 0, -np.abs(x), np.abs(x))",
    "signbit": "use x < 0",
    **dict.fromkeys(("conjugate", "real", "imag", "angle"), "numbers are real"),
    **dict.fromkeys(("argmax", "argmin", "argsort"), "places are no numbers of a program: use np.max, np.min, np.sort"),
    **dict.fromkeys(("partition", "lexsort", "unique"), "use np.sort"),
    **dict.fromkeys(("nonzero", "flatnonzero", "argwhere", "extract", "compress"), "use np.where(condition, x, 0)"),
    **dict.fromkeys(("searchsorted", "digitize", "histogram"), "use sums of conditions, np.sum(x > edges)"),
    **dict.fromkeys(("interp", "piecewise"), "use np.where or np.select of its pieces"),
    **dict.fromkeys(("nan_to_num", "nansum", "nanmean", "nanmax", "nanmin"), "use np.where(np.isnan(x), 0, x)"),
    **dict.fromkeys(("convolve", "correlate", "fft", "cross", "kron"), "use a constant matrix, matrix @ x"),
    **dict.fromkeys(("einsum", "tensordot"), "use @, np.dot, np.outer and np.sum"),
    **dict.fromkeys(("expand_dims", "squeeze", "moveaxis", "swapaxes"), "use x.reshape, x[:, None], .T"),
    **dict.fromkeys(("vstack", "column_stack", "dstack"), "use np.stack"),
    **dict.fromkeys(("insert", "delete", "pad", "array_split"), "use np.concatenate of slices"),
    **dict.fromkeys(("array_equal", "allclose"), "use np.all(x == y) or np.all(np.isclose(x, y)) in np.where"),
    **dict.fromkeys(("det", "inv", "solve", "eigvals", "eigvalsh", "svd", "cholesky"), "write it out for 2 or 3 rows"),
    **dict.fromkeys(("left_shift", "right_shift", "bitwise_xor", "gcd", "lcm"), "numbers are no integers"),
    **dict.fromkeys(("log_ndtr", "erfcx", "erfinv", "ndtri"), "scipy.special.erf, erfc and ndtr can be"),
    **dict.fromkeys(("gamma", "gammaln", "loggamma", "psi", "beta"), "give log-gamma as constants where x is one"),
}
_ELSE = "docs/own_problems.md lists what can be: operators, np.where, np.sum and many more"


def instead(name: str) -> str:
    """In place of the function of this name."""
    return _INSTEAD.get(name, _ELSE)
