// Table of contents of anneal_sgd._core; python/anneal_sgd/_core/__init__.pyi describes it.
#include "../cpu/backend_cpu.hpp"
#include "bindings.hpp"

// Where Python has no GIL the module asks for none: what its objects hold is not changed once they are made, and what
// all share (the list of instruction sets, a GPU's memory pool) is made behind a lock.
PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
    using namespace anneal_sgd;
    m.doc() = "Compiled core of anneal_sgd. Private: use the functions of the package.";
    m.attr("__version__") = ANNEAL_SGD_VERSION;
    m.attr("STREAM_VERSION") = stream_version;
    m.attr("BLOCK_REPLICATES") = block_replicates;
    bindings::bind_program(m);
    bindings::bind_spec(m);
    bindings::bind_schedule(m);
    bindings::bind_simulate(m);
    bindings::bind_testing(m);
    m.def("built_isas", &cpu::built_isas);
    m.def("supported_isas", &cpu::supported_isas);
    bindings::bind_cuda(m);
}
