#!/usr/bin/env bash
# Everything that a machine with an NVIDIA GPU can say about the CUDA backend: build, conformance, sanitizers, benchmark.
# Needs no network: nvcc, cmake, and a Python with pybind11, NumPy, click, rich and what the tests import. Called by `make gpu-check`.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
out=${1:-out/gpu}
work=build/gpu-check
mkdir -p "$out" "$work"

echo "== build for the GPU of this machine"
architecture=${CUDAARCHS:-$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)}
cmake -S . -B "$work/core" -DANNEAL_SGD_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="$architecture" \
    -DPython_EXECUTABLE="$(command -v "$python")" -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)"
cmake --build "$work/core" --parallel
rm -rf "$work/site"
mkdir -p "$work/site"
cp -r python/anneal_sgd "$work/site/"
cmake --install "$work/core" --prefix "$work/site"
export PYTHONPATH="$PWD/$work/site"
"$python" - "$PYTHONPATH" <<'END' | tee "$out/info.json"
import json, sys, anneal_sgd
assert anneal_sgd.__file__.startswith(sys.argv[1]), f"another anneal_sgd is installed: {anneal_sgd.__file__}"
print(json.dumps(anneal_sgd.runtime.info(), indent=1))
END

echo "== the test suite, which must find the CUDA backend"
"$python" -m pytest -p no:cacheprovider --require-backend=cuda 2>&1 | tee "$out/pytest.txt"

echo "== compute-sanitizer on a short set"
separable="(every_kernel or large_dimensions or launches) and (33 or 64 or 37) and (gaussian or rademacher)"
on_data="(every_loss and everything) or (edges_of_rows and 33) or different_sizes"
short="gpu and (($separable) or ($on_data))"
for tool in memcheck racecheck initcheck synccheck; do
    compute-sanitizer --tool "$tool" --error-exitcode 9 --target-processes all \
        "$python" -m pytest -p no:cacheprovider -q tests/test_cuda.py tests/test_cuda_data.py -k "$short" --require-backend=cuda \
        2>&1 | tee "$out/$tool.txt"
done

echo "== benchmark"
"$python" -m anneal_sgd bench --gpu --peers --json "$out/bench.json" | tee "$out/bench.md"
