"""Every benchmark case runs, at tiny size, so that none rots."""

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parent.parent / "bench"


def test_every_case_runs():
    done = subprocess.run(
        [sys.executable, str(BENCH / "run.py"), "--tiny", "--repeats", "1", "--threads", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for line in (BENCH / "cases.py").read_text(encoding="utf-8").splitlines():
        if line.strip().startswith('Case("'):
            assert f"| {line.split(chr(34))[1]} | 1 |" in done.stdout
