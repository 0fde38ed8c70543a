# One command per task, for people and for CI. PYTHON chooses the interpreter for .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Folders of Python files too: an editable install knows the files that were there.
SOURCES := $(shell find csrc -type f) $(shell find python -type d ! -name __pycache__) CMakeLists.txt pyproject.toml

.PHONY: help validate grid atlas examples test lint format docs sanitize clang-check ptx-check aarch64-check windows-check \
    gpu-check cuda-wheel bench-history clean
help:
	@echo "make validate   measure the theorem: table, JSON and pictures in out/"
	@echo "make grid       how coarse a tuning grid may be: table, JSON and pictures in out/"
	@echo "make atlas      what every schedule forgives, a minute and a half: store and report in out/atlas/"
	@echo "make examples   results of the literature again: a line and a picture for each, in out/examples/"
	@echo "make test       the whole test suite"
	@echo "make lint       formatter, linter, type and stub checkers, changing nothing"
	@echo "make format     reformat C++ and Python"
	@echo "make docs       the site: out/docs/index.html; a warning, such as a broken link, is an error"
	@echo "make sanitize   the test suite under the address and undefined-behaviour sanitizers"
	@echo "make clang-check  the core without CUDA compiled by Clang, warnings being errors: no more than that it compiles"
	@echo "make gpu-check  on a machine with an NVIDIA GPU: all that it can say, in stages; page in out/gpu/"
	@echo "make ptx-check  where nvcc is: the CUDA kernels' PTX executed on this machine's CPU, every bit compared; no GPU"
	@echo "make aarch64-check  the package compiled for 64-bit ARM, its bits compared under QEMU; Debian's cross compiler"
	@echo "make windows-check  the package compiled for Windows, its tests run by Wine; Debian's cross compiler"
	@echo "make cuda-wheel where nvcc is: a wheel with the CUDA backend, under a name of its own, in out/wheels"
	@echo "make bench-history  every committed run of the benchmark, by commit, and what has become slower"
	@echo "make clean      remove .venv, build/ and out/"

PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

# Python files are used in place (editable); a change of C++ or of the build rebuilds the core.
$(VENV)/.installed: $(SOURCES)
	@test -e $@ || echo "Building the package into $(VENV), once: downloads, and two minutes of compiling on two Zen 5 cores," \
	    "three to five where nvcc is found and the CUDA kernels are built too."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	$(BIN)/python $(PIP_INSTALL) --group build
	$(BIN)/python $(PIP_INSTALL) --no-build-isolation --editable '.[cli,xarray]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python $(PIP_INSTALL) --no-build-isolation --editable '.[dev]'
	touch $@

validate: $(VENV)/.installed
	$(BIN)/anneal-sgd validate --output out

grid: $(VENV)/.installed
	$(BIN)/anneal-sgd grid --output out

atlas: $(VENV)/.installed
	$(BIN)/anneal-sgd atlas --quick --output out/atlas

examples: $(VENV)/.installed $(addprefix run-,$(filter-out gallery,$(basename $(notdir $(wildcard examples/*.py)))))

run-%: examples/%.py $(VENV)/.installed
	$(BIN)/python $< $(EXAMPLES_ARGS)

# A process for each processor, since most tests keep one busy; up to four, since each holds its own modules in memory.
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest anneal_sgd._core --concise --allowlist tests/stubtest.txt
	find csrc tests/ptx -name '*.[ch]pp' -o -name '*.cu*' | xargs $(BIN)/clang-format --dry-run --Werror

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	find csrc tests/ptx -name '*.[ch]pp' -o -name '*.cu*' | xargs $(BIN)/clang-format -i

$(VENV)/.installed-docs: $(VENV)/.installed pyproject.toml
	$(BIN)/python $(PIP_INSTALL) --group docs
	touch $@

# Sphinx keeps what it has read in build/docs; the source is the whole repository, so that links are those of its files.
docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs/site -d build/docs . out/docs

# A sanitized core in an environment of its own. The interpreter is not instrumented, hence the preload; CPython's own
# deliberate leaks at exit are not looked for.
SANITIZED := build/sanitize/venv
sanitize:
	test -x $(SANITIZED)/bin/python || $(PYTHON) -m venv $(SANITIZED)
	$(SANITIZED)/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	$(SANITIZED)/bin/python $(PIP_INSTALL) --group build
	$(SANITIZED)/bin/python $(PIP_INSTALL) --no-build-isolation '.[test]' --config-settings=build-dir=build/sanitize/core \
	    --config-settings=cmake.define.ANNEAL_SGD_SANITIZE=address,undefined
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	$(SANITIZED)/bin/python -m pytest -p no:cacheprovider $(PYTEST_ARGS)

# By the newest Clang on the path, or the one that CLANG names. Code is generated, for some errors come no sooner, but by its
# driver's CCC_OVERRIDE_OPTIONS without optimisation: a fifth of the time.
CLANG = $(shell bash -c 'compgen -c clang++' | grep -xE 'clang[+]{2}(-[0-9]+)?' | sort --version-sort | tail -n 1)
clang-check: $(VENV)/.installed
	@test -n "$(CLANG)" || { echo "make clang-check: needs Clang: apt-get install clang"; exit 1; }
	$(BIN)/cmake -S . -B build/clang -G Ninja -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(BIN)/ninja" -DCMAKE_CXX_COMPILER=$(CLANG) \
	    -DANNEAL_SGD_CUDA=OFF -DANNEAL_SGD_WERROR=ON -DPython_EXECUTABLE="$(CURDIR)/$(BIN)/python" \
	    -Dpybind11_DIR="$$($(BIN)/python -m pybind11 --cmakedir)"
	CCC_OVERRIDE_OPTIONS="# O0" $(BIN)/cmake --build build/clang

# The core that the package was built with, its CUDA runtime replaced; tests/ptx/README.md. PTX_ARGS="--slow": everything.
ptx-check: $(VENV)/.installed-dev
	PYTHONPATH=tests $(BIN)/python -m ptx.check $(PTX_ARGS)

# Into build/aarch64 and build/windows, nothing is installed; tests/cross. AARCH64_ARGS or WINDOWS_ARGS="--long": more tests.
aarch64-check: $(VENV)/.installed-dev
	$(BIN)/python tests/cross/aarch64.py $(AARCH64_ARGS)

windows-check: $(VENV)/.installed-dev
	$(BIN)/python tests/cross/windows.py $(WINDOWS_ARGS)

# Uses PYTHON itself and no network: machines with a GPU often have neither pip's index nor a need for a .venv.
# STAGE=1, or STAGE="headline profile": those stages alone (bench/gpu_check.py).
gpu-check:
	$(PYTHON) bench/gpu_check.py --output out/gpu $(STAGE)

# The wheel with CUDA, named by nvcc's version. It holds the same package as the one without: install one of the two.
CUDA_NAME = anneal_sgd_cuda$(shell nvcc --version | sed -n 's/.*release \([0-9]*\).*/\1/p')
CUDA_WHEEL := build/cuda-wheel
# Code for the first of each generation since Turing runs on its later members; PTX covers gaps and what is to come.
cuda-wheel: export CUDAARCHS ?= 75;80-real;90-real;100-real;120
cuda-wheel:
	rm -rf $(CUDA_WHEEL) && mkdir -p $(CUDA_WHEEL)
	cp -r CMakeLists.txt pyproject.toml README.md LICENSE NOTICE csrc python $(CUDA_WHEEL)
	rm -f $(CUDA_WHEEL)/python/anneal_sgd/_core*.so
	sed -i 's/^name = "anneal_sgd"/name = "$(CUDA_NAME)"/; s/"anneal_sgd\[/"$(CUDA_NAME)[/' $(CUDA_WHEEL)/pyproject.toml
	$(PYTHON) $(subst install,wheel,$(PIP_INSTALL)) --no-deps --wheel-dir out/wheels \
	    --config-settings=cmake.define.ANNEAL_SGD_CUDA=ON $(CUDA_WHEEL)

# BENCH=FILE, of anneal-sgd bench --peers --json FILE: that run beside them.
bench-history: $(VENV)/.installed
	$(BIN)/python bench/history.py $(BENCH)

clean:
	rm -rf $(VENV) build out
