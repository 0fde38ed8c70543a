"""Calls on a GPU from Python: arrays on the device, streams, contradictions.

An emulated device and a stand-in for CuPy, whose "device memory" is the host's, show what goes where on any machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest

from anneal_sgd import Simulator, _backend, _core, _target, cli, problems, runtime, schedules, simulate
from anneal_sgd.campaigns import Campaign
from environments import need

PROBLEM = problems.AbsoluteValue(0.5, noise="gaussian", noise_std=1.0, projection=("box", -1.0, 1.0))


def run(problem=PROBLEM, **changes):
    arguments = {"base_lr": [0.1, 0.2], "horizon": 20, "replicates": 100, "seed": 7, **changes}
    return simulate(problem, schedules.Linear(), **arguments)


DEVICES = {}  # of addresses


class DeviceArray:
    """What simulate may ask of an array in a GPU's memory."""

    def __init__(self, host, writable=True, device=1, stream=None):
        self.host, self.device = host, device
        DEVICES[host.ctypes.data] = device
        self.__cuda_array_interface__ = {
            "shape": host.shape,
            "typestr": host.dtype.str,
            "data": (host.ctypes.data, not writable),
            "strides": None if host.flags.c_contiguous else host.strides,
            "stream": stream,
            "version": 3,
        }

    def __array__(self, *_):
        raise TypeError("implicit conversion to a NumPy array")

    def get(self):
        return self.host.copy()


class DlpackTensor:
    """An array of another library, in the memory of a CUDA device or of the host."""

    def __init__(self, host, kind):
        self.host, self.kind = host, kind

    def __dlpack_device__(self):
        return self.kind, 0

    def __array__(self, *_args, **_options):
        if self.kind == 2:
            raise TypeError("implicit conversion to a NumPy array")
        return self.host


@pytest.fixture
def gpu(monkeypatch):
    """A GPU for simulate, with the streams that were opened on it."""
    opened, handles = [], []

    def open_device(number, stream):
        opened.append((number, stream))
        handles.append(_core.testing.emulated_device(number=number))
        return handles[-1]

    info = {"name": "emulated", "compute_capability": "9.0", "memory": 2**32, "multiprocessors": 1, "clock_hz": 1e9}
    monkeypatch.setattr(runtime, "_why_no_cuda", lambda: "")
    monkeypatch.setattr(runtime, "_cuda_devices", lambda: (info, info))
    monkeypatch.setattr(_core, "open_cuda_device", open_device)
    monkeypatch.setattr(_core, "cuda_device_of", lambda address: DEVICES.get(address, -1))
    _target._opened.cache_clear()
    monkeypatch.setattr(_backend, "_distrusted", lambda number: False)
    yield opened
    _target._opened.cache_clear()


@pytest.fixture
def cupy(monkeypatch):
    """The stand-in, as if CuPy had been imported; current device 1, current stream 77 there and 66 on device 0."""
    module = types.ModuleType("cupy")
    module.current, module.streams = 1, {0: 66, 1: 77}

    def asarray(x):  # copies what is on another device than the current one, as CuPy does
        return x if x.device == module.current else DeviceArray(x.host.copy(), device=module.current)

    module.asarray = asarray
    module.from_dlpack = lambda x: DeviceArray(x.host)
    module.empty = lambda shape, dtype: DeviceArray(np.full(shape, -1.0, dtype), device=module.current)

    class Device:
        def __init__(self, number=1):
            self.id = number

        def __enter__(self):
            self.before, module.current = module.current, self.id

        def __exit__(self, *_):
            module.current = self.before

    module.cuda = types.SimpleNamespace(
        Device=Device, get_current_stream=lambda device: types.SimpleNamespace(ptr=module.streams[device])
    )
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def test_auto_takes_the_gpu_and_the_bits_are_the_cpus(gpu):
    expected, got = run(backend="cpu", keep_samples=True), run(keep_samples=True)
    assert (got.backend, got.isa) == ("cuda", "sm_90")
    np.testing.assert_array_equal(got.samples, expected.samples)
    np.testing.assert_array_equal(got.stderr, expected.stderr)
    assert gpu == [(0, 2)]
    assert (got + run(backend="cpu", first_replicate=100)).backend == "cuda+cpu"


@pytest.mark.usefixtures("gpu")
def test_problems_on_data_take_the_gpu_too():
    X = np.cos(np.arange(60.0)).reshape(20, 3)
    problem = problems.SoftmaxRegression(X, np.arange(20) % 3, batch_size=4, test=(X[:5], np.arange(5) % 3))
    size = {"horizon": 9, "replicates": 30, "metric": ("loss", "test_accuracy"), "keep_samples": True}
    simulator = Simulator(problem)
    expected, got = (
        simulator.run(schedules.Linear(), base_lr=[0.1, 1.0], backend=backend, **size) for backend in ("cpu", "auto")
    )
    assert got.backend == "cuda"
    np.testing.assert_array_equal(got.samples, expected.samples)
    np.testing.assert_array_equal(got.stderr, expected.stderr)


TRUST = _backend._distrusted


@pytest.mark.usefixtures("gpu")
def test_auto_takes_only_a_gpu_that_shows_the_bits_of_the_cpu(monkeypatch):
    monkeypatch.setattr(_backend, "_distrusted", TRUST)
    monkeypatch.setattr(_backend, "_TROUBLE", trouble_by_device := {})
    simulate_core = _core.simulate

    def other_bits(ensemble, rates, seed, *arguments, devices=(), **options):
        return simulate_core(ensemble, rates, seed + len(devices), *arguments, devices=devices, **options)

    def broken(*arguments, devices=(), **options):
        if devices:
            raise RuntimeError("CUDA: running kernels: an illegal memory access was encountered")
        return simulate_core(*arguments, devices=devices, **options)

    def full(*arguments, devices=(), **options):
        if devices:
            raise MemoryError("CUDA device 0 could not allocate 1 bytes")
        return simulate_core(*arguments, devices=devices, **options)

    for replacement, trouble in [(other_bits, "its trajectories differ"), (broken, "CUDA: running kernels")]:
        trouble_by_device.clear()
        monkeypatch.setattr(_core, "simulate", replacement)
        with pytest.warns(RuntimeWarning, match=f"^GPU 0 is not used: {trouble}.*insists on it"):
            assert run().backend == "cpu"
        assert run().backend == "cpu"  # and warns once
    with pytest.raises(RuntimeError, match="illegal memory access"):
        run(backend="cuda")
    trouble_by_device.clear()
    monkeypatch.setattr(_core, "simulate", full)
    assert run().backend == "cpu"
    monkeypatch.setattr(_core, "simulate", simulate_core)  # memory that was taken may be free again
    assert run().backend == "cuda"


@pytest.mark.usefixtures("gpu")
def test_arguments_of_the_cpu_mean_the_cpu():
    assert run(threads=1).backend == "cpu"
    assert run(isa="scalar").backend == "cpu"


@pytest.mark.usefixtures("gpu")
def test_contradictions_are_refused():
    device_only = "^device, stream, device_output and an out on a GPU must be left out where "
    for changes, message in [
        ({"backend": "cuda", "threads": 2}, "^threads must be left out where backend is 'cuda'"),
        ({"backend": "cuda", "isa": "scalar"}, "^isa must be left out where backend is 'cuda'"),
        ({"backend": "cpu", "device": 0}, device_only + "backend is 'cpu'"),
        ({"backend": "cpu", "stream": 1}, device_only + "backend is 'cpu'"),
        ({"device_output": True, "threads": 1}, device_only + "threads is given"),
        ({"device": 2}, "^device must be an integer in 0 .. 1, got 2"),
        ({"device": "0"}, "^device must be an integer in 0 .. 1, got '0'"),
        ({"device": [0, 3]}, "^device must be an integer in 0 .. 1, got 3"),
        ({"device": []}, r"^device must name at least one GPU, got \[\]; 'all' takes every one there is"),
        ({"device": (1, 0, 1)}, r"^device must name a GPU once, got \(1, 0, 1\)"),
        ({"device": "both"}, "^device must be an integer in 0 .. 1, got 'both'"),
        ({"device": "all", "backend": "cpu"}, device_only + "backend is 'cpu'"),
        ({"device": "all", "threads": 2}, device_only + "threads is given"),
        ({"device": "all", "stream": 5}, r"^stream must be left out where several GPUs compute, \(0, 1\)"),
        ({"device": [0, 1], "device_output": True}, r"^out must lie on the host, .* several GPUs compute, \(0, 1\)"),
        ({"stream": "main"}, "^stream must be a CUDA stream or the handle of one, got 'main'"),
        ({"stream": -1}, "^stream must be"),
        ({"device_output": 1}, "^device_output must be True or False"),
    ]:
        with pytest.raises(ValueError, match=message):
            run(**changes)


def test_where_there_is_no_gpu_its_arguments_say_so(monkeypatch):
    monkeypatch.setattr(runtime, "_why_no_cuda", lambda: "no driver, no luck")
    assert run().backend == "cpu"
    for changes in ({"device": 0}, {"device": "all"}, {"stream": 0}, {"device_output": True}, {"backend": "cuda"}):
        with pytest.raises(RuntimeError, match=r"^backend 'cuda' is not available: no driver, no luck"):
            run(**changes)


def test_device_and_stream_are_those_asked_for(gpu, cupy):
    class Pytorch:
        cuda_stream = 5

    class Protocol:
        def __cuda_stream__(self):
            return 0, 9

    run()
    run(device=0)
    run(stream=11)
    run(stream=types.SimpleNamespace(ptr=13), device=0)
    run(stream=Pytorch())
    run(stream=Protocol())
    cupy.streams[1] = 0  # the default stream, whose handle is cudaStreamLegacy
    run()
    assert gpu == [(1, 77), (0, 66), (1, 11), (0, 13), (1, 5), (1, 9), (1, 1)]


def test_several_gpus_have_the_bits_of_one(gpu, cupy, monkeypatch):
    size = {"replicates": 3000, "first_replicate": 500, "keep_samples": True}
    expected = run(backend="cpu", **size)
    for device in ("all", [0, 1], (1, 0), np.arange(2), [1]):
        got = run(device=device, **size)
        assert (got.backend, got.isa) == ("cuda", "sm_90")
        np.testing.assert_array_equal(got.samples, expected.samples)
        for name in ("mean", "stderr", "min", "max", "count"):
            np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    assert gpu == [(0, 66), (1, 77)]
    unequal = [
        {**info, "compute_capability": text} for info, text in zip(runtime._cuda_devices(), ("8.0", "9.0"), strict=True)
    ]
    monkeypatch.setattr(runtime, "_cuda_devices", lambda: tuple(unequal))
    _target._opened.cache_clear()
    assert run(device="all").isa == "sm_80+sm_90"
    seen = []
    assert (
        Simulator(PROBLEM)
        .run(schedules.Linear(), base_lr=0.1, horizon=20, replicates=2000, device="all", progress=seen.append)
        .isa
        == "sm_80+sm_90"
    )
    assert seen[-1] == 1.0


def test_campaigns_take_several_gpus(gpu, tmp_path):
    def campaign(**changes):
        size = {"base_lr": [0.1, 0.2], "horizon": 20, "replicates": 2500, "seed": 7, **changes}
        return Campaign(PROBLEM, schedules.Linear(), **size)

    expected = run(backend="cpu", replicates=2500)
    result = campaign().run(tmp_path / "a.db", device="all")
    np.testing.assert_array_equal(result.mean, expected.mean)
    assert result.runs[-1]["backends"] == ["cuda sm_90"]
    assert gpu == [(0, 2), (1, 2)]
    with pytest.raises(ValueError, match=r"^device must be an integer in 0 \.\. 1, got 2"):
        campaign().run(tmp_path / "none.db", device=[0, 2])
    with pytest.raises(ValueError, match=r"^device, stream, .* must be left out where backend is 'cpu'"):
        campaign().run(tmp_path / "none.db", device="all", backend="cpu")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.usefixtures("gpu")
def test_sweeps_take_several_gpus(tmp_path, capsys):
    need("click", "rich")
    expected = run(backend="cpu", replicates=2500)
    spec = tmp_path / "spec.toml"
    spec.write_text(
        'schedule = "linear"\nhorizon = 20\nbase_lr = [0.1, 0.2]\nreplicates = 2500\nseed = 7\n[problem]\n'
        'kind = "absolute_value"\nslope = 0.5\nnoise = "gaussian"\nnoise_std = 1.0\nprojection = ["box", -1.0, 1.0]\n'
    )
    for device in ("1", "0,1", "all"):
        assert cli.main(["sweep", str(spec), "--device", device, "--store", str(tmp_path / f"{device}.db")]) == 0
        np.testing.assert_array_equal(Campaign.load(tmp_path / f"{device}.db").mean, expected.mean)
    assert cli.main(["sweep", str(spec), "--device", "all", "--dry-run"]) == 0
    capsys.readouterr()
    assert cli.main(["sweep", str(spec), "--device", "first"]) == 2
    assert "--device must be all, a number, or several such as 0,1, got 'first'" in capsys.readouterr().err


@pytest.mark.usefixtures("gpu", "cupy")
def test_an_output_on_a_device_is_for_one_gpu():
    with pytest.raises(ValueError, match=r"^out must lie on the host, and device_output be left out, where several"):
        run(out=DeviceArray(np.zeros((2, 100), np.float32)), device="all")
    out = np.zeros((2, 1200), np.float32)
    assert run(out=out, device="all", replicates=1200).samples.base is out
    np.testing.assert_array_equal(out, run(backend="cpu", replicates=1200, keep_samples=True).samples)


@pytest.mark.usefixtures("gpu", "cupy")
def test_arrays_on_the_device_are_parameters():
    rates, slopes = np.array([0.1, 0.2]), np.array([0.5, 0.7])
    expected = run(problems.AbsoluteValue(slopes, x0=[0.1, 0.2]), record_at=[3, 20], backend="cpu")
    for wrap in (DeviceArray, lambda host: DlpackTensor(host, 2), lambda host: DlpackTensor(host, 1)):
        problem = problems.AbsoluteValue(wrap(slopes), x0=wrap(np.array([0.1, 0.2])))
        got = run(problem, base_lr=wrap(rates), record_at=wrap(np.array([3, 20])))
        assert got.spec == expected.spec
        np.testing.assert_array_equal(got.mean, expected.mean)
    with pytest.raises(ValueError, match=r"^slope must be finite and > 0, got -1.0 at index 1"):
        problems.AbsoluteValue(DeviceArray(np.array([1.0, -1.0])))


@pytest.mark.usefixtures("gpu", "cupy")
def test_samples_may_stay_on_the_device():
    expected = run(backend="cpu", keep_samples=True)
    got = run(device_output=True)
    assert isinstance(got.samples, DeviceArray)
    np.testing.assert_array_equal(got.samples.host, expected.samples)
    np.testing.assert_array_equal(got.mean, expected.mean)
    np.testing.assert_array_equal(got.quantile([0.1, 0.5]), expected.quantile([0.1, 0.5]))
    more = run(out=DeviceArray(np.zeros((2, 50), np.float32)), first_replicate=100, replicates=50)
    np.testing.assert_array_equal((got + more).samples[:, :100], expected.samples)


@pytest.mark.usefixtures("gpu", "cupy")
@pytest.mark.parametrize("device", [0, 1])
def test_an_output_is_written_where_it_lies(device):
    """Also on a device that is not CuPy's current one, where CuPy would make a copy."""
    expected = run(backend="cpu", keep_samples=True)
    out = DeviceArray(np.zeros((2, 100), np.float32), device=device)
    assert run(out=out, device=device).samples is out
    np.testing.assert_array_equal(out.host, expected.samples)


@pytest.mark.usefixtures("gpu")
def test_an_output_needs_no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    out = DeviceArray(np.zeros((2, 100), np.float32), device=0)
    np.testing.assert_array_equal(run(out=out).samples.host, run(backend="cpu", keep_samples=True).samples)


@pytest.mark.usefixtures("gpu", "cupy")
def test_the_work_waits_for_what_the_owner_of_the_memory_has_enqueued(monkeypatch):
    followed = []
    monkeypatch.setattr(_core.Device, "follow", lambda _device, stream: followed.append(stream))
    run(stream=5, device_output=True)  # CuPy's memory belongs to its current stream
    run(stream=5, out=DeviceArray(np.zeros((2, 100), np.float32), stream=31))
    run(stream=5)
    assert followed == [77, 31, 77]


@pytest.mark.usefixtures("gpu", "cupy")
def test_an_output_on_the_device_must_fit():
    good = np.zeros((2, 100), np.float32)
    for out, message in [
        (DeviceArray(np.zeros((100, 2), np.float32)), r"float32 and shape \(2, 100\), got float32 of shape \(100, 2\)"),
        (DeviceArray(np.zeros((2, 100))), "array of float32"),
        (DeviceArray(np.zeros((100, 2), np.float32).T), r"C-contiguous, got strides \(4, 8\)"),
        (DeviceArray(good, writable=False), "writable, got a read-only array"),
        (DeviceArray(good, device=0), "on device 1, which computes, got device 0"),
    ]:
        with pytest.raises(ValueError, match=f"^out must .*{message}"):
            run(out=out)
    with pytest.raises(ValueError, match=r"^out must lie on the device where device_output is True, got ndarray"):
        run(out=good, device_output=True)


@pytest.mark.usefixtures("gpu")
def test_without_cupy_device_arrays_say_what_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=r"anneal_sgd\[cuda\]"):
        problems.AbsoluteValue(DeviceArray(np.ones(2)))
    assert run().backend == "cuda"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_of_a_process_with_a_gpu_has_none():
    code = (
        "import os, sys; from anneal_sgd import _core, runtime;"
        "_core.cuda_why_unavailable = lambda: ''; assert not runtime.why_unavailable('cuda');"
        "pid = os.fork();"
        "reason = runtime.why_unavailable('cuda');"
        "os._exit(0 if 'spawn' in reason else 1) if pid == 0 else None;"
        "assert not reason; sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0


def test_cupy_is_not_imported_for_anything_else():
    code = (
        "import sys, anneal_sgd as s; p = s.problems.AbsoluteValue([0.5, 0.6]);"
        "s.simulate(p, s.schedules.Linear(), base_lr=[0.1], horizon=3, replicates=2, keep_samples=True);"
        "s.runtime.info(); assert 'cupy' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.usefixtures("need_cuda")
def test_a_gpu_has_the_bits_of_the_cpu():
    for dtype in ("float32", "float64"):
        for iterate in ("last", "tail_average"):
            size = {"dtype": dtype, "iterate": iterate, "record_at": [0, 10, 2000], "horizon": 2000, "replicates": 3000}
            expected, got = (
                run(backend="cpu", keep_samples=True, **size),
                run(backend="cuda", keep_samples=True, **size),
            )
            np.testing.assert_array_equal(got.samples, expected.samples)
            np.testing.assert_array_equal(got.stderr, expected.stderr)


@pytest.mark.usefixtures("need_cuda")
def test_a_gpu_with_cupy():
    cupy = pytest.importorskip("cupy")
    expected = run(backend="cpu", keep_samples=True)
    with cupy.cuda.Stream():
        got = run(base_lr=cupy.asarray([0.1, 0.2]), device_output=True)
    np.testing.assert_array_equal(cupy.asnumpy(got.samples), expected.samples)
    out = cupy.zeros((2, 100), cupy.float32)
    assert run(out=out, stream=cupy.cuda.Stream(non_blocking=True)).samples is out
    np.testing.assert_array_equal(cupy.asnumpy(out), expected.samples)


@pytest.mark.usefixtures("need_cuda")
def test_a_gpu_with_pytorch():
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that there is no driver
        if not torch.cuda.is_available():
            pytest.skip("PyTorch finds no GPU: it was built without CUDA, or the GPU is one that tests/ptx plays")
    expected = run(backend="cpu", keep_samples=True)
    out = torch.zeros((2, 100), device="cuda")
    run(out=out, stream=torch.cuda.Stream())
    np.testing.assert_array_equal(out.cpu().numpy(), expected.samples)
