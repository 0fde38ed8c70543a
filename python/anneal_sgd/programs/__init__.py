"""Functions of one's own as programs: traced, differentiated, brought into one form, and run by the compiled core.

`problems.Custom` makes a problem of a function; this package is what it is made of. `trace` calls a function once, with
symbols for numbers, and gives a `Program`: data that can be stored, compared and shown, and that is never executed as
code. Its canonical form defines the bits of trajectories (docs/stream.md, "Programs").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._late import names_of

if TYPE_CHECKING:
    from ._canonical import canonical
    from ._derive import differentiated
    from ._evaluate import evaluate
    from ._ir import Node, Program
    from ._parse import parse
    from ._symbol import Symbol
    from ._trace import trace
else:
    __getattr__, __dir__ = names_of(
        __name__,
        {
            "_canonical": "canonical",
            "_derive": "differentiated",
            "_evaluate": "evaluate",
            "_ir": "Node Program",
            "_parse": "parse",
            "_symbol": "Symbol",
            "_trace": "trace",
        },
    )

__all__ = ["Node", "Program", "Symbol", "canonical", "differentiated", "evaluate", "parse", "trace"]
