"""Programs from text: what the same expression gives when it is traced, and nothing else."""

import re

import numpy as np
import pytest

from anneal_sgd.programs import canonical, evaluate, parse, trace
from anneal_sgd.programs._special import erf

hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies

PARAMETERS = {"a": (), "b": (3,)}

EXPRESSIONS = [
    "a * sum(abs(x)**1.5)",
    "sum(100 * (x[1:] - x[:-1]**2)**2 + (1 - x[:-1])**2)",
    "max([[1, 2, 3], [-4, 5.5, 1e-3]] @ x + [0.5, -0.5])",
    "sum(log(1 + exp(-b * x))) / 3 + a * dot(x, x) / 2",
    "x[0] + x[-1] * x[1] - +x[2]",
    "sum(x[::-1] * b) + mean(x[::2]) - min(x)",
    "sum(where((x > 0) & (x <= 1) | (b >= 2), x**3, tanh(x)))",
    "norm(x - b) + square(sin(a)) * cos(pi * x[0])",
    "sum(clip(x, -1, 1)) + sum(maximum(x, 2 * x)) + sum(minimum(x, sqrt(abs(x)))) + sum(sign(x))",
    "2**0.5 * x[0]**(1 / 2) + x[0]**-2 + (1 + 2) * sqrt(2) * a",
    "where(x[0] < a, 2 * x[0], x[0])",
    "sum(log1p(x**2) + expm1(b * x)) + prod(x) * var(x) - std(cumsum(x) - b)",
    "sum(where((x == b) | (x != a), x, b))",
    "sum(abs(x)**a) + where(any(x > a) & all(x < 2), x[0], 1) * sinh(x[1]) + cosh(a) + exp2(x[0]) * log2(a) - log10(a)",
    "sum(cbrt(sort(x)) + arcsinh(x) * sinc(x)) + tan(median(x)) + sum(cumprod(x) * heaviside(x, 0.5))",
    "sum(logaddexp(x, hypot(a, b)))",
    "sum(floor(3 * x) + ceil(x) * trunc(b) + rint(x)) + sum(x % 0.3 + x // 2 - mod(b, x)) + arctan2(x[0], a)",
    "sum(arctan(x) + arcsin(x / 9) * arccos(x / 9)) + erf(x[0])",
    "sum(arccosh(x + 9) + arctanh(x / 9) - fmod(x, b)) + ptp(x) * sum(diff(x)) + quantile(x, 0.3)",
]

SPECIAL = ["erfc(x)", "ndtr(x - a)", "expit(b * x)", "log_expit(x)", "logit(expit(x))", "entr(x**2)", "exp10(x)"]
SPECIAL += ["huber(1, x)", "huber(abs(a), x)", "pseudo_huber(0.5, x)", "xlogy(2, exp(x))", "xlog1py(x, x**2)"]
SPECIAL += ["rel_entr(x**2, exp(b))", "kl_div(x**2, 3)"]


def traced(text, **options):
    """The program of the expression as Python understands it."""
    names = {name: getattr(np, name) for name in (
        "abs", "sqrt", "exp", "log", "sin", "cos", "tanh", "sign", "square", "sum", "max", "min", "mean", "maximum",
        "minimum", "dot", "where", "clip", "pi", "log1p", "expm1", "prod", "cumsum", "var", "std", "any", "all",
        "sinh", "cosh", "exp2", "log2", "log10", "tan", "arcsinh", "cbrt", "sinc", "sort", "median", "cumprod",
        "hypot", "logaddexp", "heaviside", "floor", "ceil", "trunc", "rint", "arctan", "arcsin", "arccos", "arctan2",
        "mod", "arccosh", "arctanh", "fmod", "ptp", "diff", "quantile",
    )}  # fmt: skip
    used = [name for name in PARAMETERS if re.search(rf"\b{name}\b", text)]
    arguments = ", ".join(["x", *(["draw"] if options.get("draws") else []), *used])
    text = text.replace("[[1, 2, 3], [-4, 5.5, 1e-3]]", "array([[1, 2, 3], [-4, 5.5, 1e-3]])")
    f = eval(f"lambda {arguments}: {text}", {**names, "norm": np.linalg.norm, "array": np.array, "erf": erf})
    return trace(f, dimension=3, parameters=PARAMETERS, **options)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_text_is_what_its_expression_is(text):
    program = parse(text, dimension=3, parameters=PARAMETERS)
    assert canonical(program) == canonical(traced(text))
    assert canonical(program).digest == canonical(traced(text)).digest


@pytest.mark.parametrize("text", SPECIAL)
def test_functions_of_scipy_in_text(text):
    """Against SciPy's own values."""
    names = vars(pytest.importorskip("scipy.special")) | {"abs": np.abs, "exp": np.exp}
    program = parse(f"sum({text})", dimension=3, parameters=PARAMETERS)
    values = {"a": 0.7, "b": np.array([1.0, -2.0, 0.5])}
    for x in np.random.default_rng(0).uniform(-3, 3, (9, 3)):
        found = evaluate(program, x, values)["value"]
        assert found == pytest.approx(np.sum(eval(text, {**names, "x": x, **values})), rel=1e-7)


@pytest.mark.parametrize(
    "text", ["draw.gaussian() * x", "a * draw.student_t(3.0, size=())", "draw.stable(1 + 0.5) + draw.laplace()"]
)
def test_draws_in_text(text):
    program = parse(text, dimension=3, parameters=PARAMETERS, draws=True)
    assert program == traced(text, draws=True)


VECTORS = st.sampled_from(["x", "b", "x[::-1]", "[1, 2.5, 3]"])
SCALARS = st.sampled_from(["a", "x[0]", "b[-1]", "sum(x)", "0.5", "2"])
UNARY = ["abs", "exp", "sin", "cos", "tanh", "sqrt", "square"]


def extended(inner):
    return st.one_of(
        st.tuples(st.sampled_from(UNARY), inner).map("{0[0]}({0[1]})".format),
        st.tuples(inner, st.sampled_from("+-*/"), inner).map("({0[0]} {0[1]} {0[2]})".format),
        st.tuples(inner, st.sampled_from(["2", "1.5", "-1", "0.3"])).map("({0[0]})**{0[1]}".format),
        st.tuples(st.sampled_from(["maximum", "minimum"]), inner, inner).map("{0[0]}({0[1]}, {0[2]})".format),
        st.tuples(inner, st.sampled_from("<>"), inner).map("where({0[0]} {0[1]} {0[2]}, {0[0]}, {0[2]})".format),
    )


@settings(max_examples=100, deadline=None)
@given(text=st.recursive(VECTORS | SCALARS, extended, max_leaves=6))
def test_random_text_has_the_values_of_python(text):
    """To rounding: NumPy's own numbers of the expression, where they are finite and real."""
    rng = np.random.default_rng(len(text))
    x, a, b = rng.standard_normal(3), rng.standard_normal(), rng.standard_normal(3)
    names = {name: getattr(np, name) for name in ("abs", "exp", "sin", "cos", "tanh", "sqrt", "square", "sum", "where")}
    python = text.replace("[1, 2.5, 3]", "c").replace("(2", "(2.0").replace(" 2)", " 2.0)")
    with np.errstate(all="ignore"):
        try:
            expected = eval(
                python,
                {**names, "maximum": np.maximum, "minimum": np.minimum},
                {"x": x, "a": a, "b": b, "c": np.array([1.0, 2.5, 3.0])},
            )
        except ArithmeticError:
            return
        if np.iscomplexobj(expected) or not np.isfinite(expected).all():  # of a power of a negative float
            return
        try:
            program = parse(f"x * 0 + {text}", dimension=3, parameters=PARAMETERS)
        except ValueError as error:
            if "constants must be finite" not in str(error):  # of a branch that is not taken
                raise
            return
        found = evaluate(program, x, {"a": a, "b": b})["value"]
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text must be an expression of 1 to 10000 characters, got ''"),
        (3, "text must be an expression of 1 to 10000 characters, got 3"),
        ("x" * 10_001, "text must be an expression of 1 to 10000 characters"),
        ("1 +", "text must be an expression, invalid syntax at column"),
        ("x; x", "text must be an expression, invalid syntax at column 2"),
        ("1or 2", "text must be an expression, "),
        ("x\0", "text must be an expression|null bytes"),
        ("9" * 5000, "text must"),
        ("-" * 9_999 + "x", "text must not be nested that deeply"),
        ("sum(x" + "[:]" * 3_000 + ")", "text must not be nested that deeply"),
        ("(" * 900 + "x" + ")" * 900, "text must"),
        ("y + 1", "text must have no name 'y', at column 1 of"),
        ("1 + draw", "text must have no name 'draw', at column 5 of"),
        ("draw.gaussian()", "text must have no draws, at column 1"),
        ("exec('1')", "text must have no function 'exec', at column 1"),
        ("__import__('os')", "text must have no function '__import__'"),
        ("x.__class__", "text must have no Attribute, at column 1"),
        ("(lambda: 1)()", "text must have no Call, at column 1"),
        ("[i for i in x]", "text must have no ListComp"),
        ("(y := x)", "text must have no NamedExpr"),
        ("f'{x}'", "text must have no JoinedStr"),
        ("x if a else b", "text must have no IfExp"),
        ("x[0] and a", "text must have no BoolOp"),
        ("0 < x[0] < 1", "text must have no Compare"),
        ("x << 2", "text must have no LShift, at column 1"),
        ("x[0] in x", "text must have no In"),
        ("~x", "text must have no Invert"),
        ("sum(x, axis=0)", "text must have no Call"),
        ("sum(*x)", "text must have no Starred"),
        ("max(a, 1)", "text must have 1 argument of max, not 2, at column 1"),
        ("where(x > 0, x)", "text must have 3 arguments of where, not 2"),
        ("'x'", "text must have numbers, not 'x'"),
        ("1j * a", "text must have numbers, not 1j"),
        ("True * a", "text must have numbers, not True"),
        ("a + 1e999", "text must have what can be computed: .* got inf, at column 5"),
        ("(-2)**0.5", "text must have what can be computed: constants must be finite real numbers"),
        ("a / (1 / 0)", "text must have what can be computed: float division by zero, at column 6"),
        ("9**9**9", "text must have what can be computed: "),
        ("log(0) * a", "text must have what can be computed: .* got -inf"),
        ("x + [1, 2]", r"text must have what can be computed: add must be of .*\(2,\) and \(3,\), at column 1"),
        ("[[1, 2]] @ x", "text must have what can be computed: matvec must have a matrix with 3 columns"),
        ("[[1, 2, 3]]", "text must have a matrix only before @"),
        ("[[1], [1, 2]]", "text must have lists of numbers, or of lists of one length, alone"),
        ("[x, 1]", "text must have lists of numbers, or of lists of one length, alone"),
        ("[]", "text must have lists of numbers"),
        ("x[3]", "text must have what can be computed: index must be in -3 .. 2, got 3, at column 1"),
        ("x[1.0]", "text must have integers as indices, at column 3"),
        ("x[True]", "text must have integers as indices"),
        ("x[a]", "text must have integers as indices"),
        ("x[::0]", "text must have what can be computed: slice step cannot be zero"),
        ("[1, 2][0]", "text must have indices of x, a parameter or what is made of them alone"),
        (
            "a * huber(1, 2)",
            "text must have what can be computed: huber is of x, a parameter or what is made of them, at",
        ),
        ("x[0]**x[1]", "text must have what can be computed: A power whose base and exponent are no constants"),
        ("β + open", "text must have no name 'open', at column 5"),
    ],
)
def test_other_text_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text, dimension=3, parameters={"a": (), "β": ()})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("draw.choice()", "text must have no draw.choice"),
        ("draw.stable()", "text must have 1 arguments of draw.stable, not 0"),
        ("draw.gaussian(size=3)", r"text must have no argument of draw.gaussian by name but size=\(\)"),
        ("draw.stable(a)", "text must have what can be computed: alpha must be one number"),
        ("draw._base('unit')", "text must have no draw._base"),
    ],
)
def test_other_draws_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text, dimension=1, parameters={"a": ()}, draws=True)


@pytest.mark.parametrize(("name", "draws"), [("x", False), ("pi", False), ("draw", True)])
def test_parameters_with_the_names_of_text_are_refused(name, draws):
    with pytest.raises(ValueError, match=f"parameters must not be named '{name}'"):
        parse("x", dimension=1, parameters={name: ()}, draws=draws)


def test_lines_and_spaces_do_not_matter():
    assert parse(" sum(x)\n   + 1 ", dimension=2) == parse("sum(x) + 1", dimension=2)


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet="xab01.[]()+-*/,:<>&|@ \n'#_=", max_size=20) | st.text(max_size=8))
def test_any_text_is_a_program_or_refused(text):
    try:
        program = parse(text, dimension=2, parameters={"a": (), "b": (2,)}, draws=True)
    except ValueError:
        return
    assert canonical(canonical(program)) == canonical(program)
