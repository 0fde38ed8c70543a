"""Write the bits of today's trajectories down: `python tests/record_bits.py`, after STREAM_VERSION has changed.

Every instruction set of this machine must have the same bits. With the stream version that the file has already, cases
may be added or left out, but none may change.
"""

from __future__ import annotations

import sys

from anneal_sgd import STREAM_VERSION, runtime
from bit_cases import RECORDED, cases, hash_of, recorded

HEADER = """\
# The bits of trajectories and statistics: per line the hash of an ensemble, and what it is. Written by
# tests/record_bits.py, compared by tests/test_bits.py, on which combinations tests/bit_cases.py decides.
stream version {version}
"""


def main() -> int:
    found: dict[str, str] = {}
    for case in cases():
        hashes = {isa: hash_of(case.run(isa=isa, threads=1)) for isa in runtime.supported_isas()}
        if len(set(hashes.values())) > 1:
            print(f"instruction sets differ, nothing written: {case.key}: {hashes}", file=sys.stderr)
            return 1
        found[case.key] = hashes["scalar"]
    version, before = recorded() if RECORDED.exists() else (STREAM_VERSION, {})
    changed = [key for key, value in before.items() if found.get(key, value) != value]
    if version == STREAM_VERSION and changed:
        print(f"{len(changed)} ensembles have other bits under one STREAM_VERSION, nothing written", file=sys.stderr)
        print("\n".join(changed), file=sys.stderr)
        return 1
    lines = [f"{value} {key}\n" for key, value in found.items()]
    RECORDED.write_text(HEADER.format(version=STREAM_VERSION) + "".join(lines))
    print(f"{len(lines)} ensembles of stream version {STREAM_VERSION} in {RECORDED}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
