// The ensemble in a device's memory: parameters packed into one copy, rows of data as they lie. Included by the
// launchers.
#pragma once

#include <memory>
#include <vector>

#include "device.hpp"

namespace anneal_sgd::cuda {

class Upload {
public:
    Upload(Device& device, const EnsembleSpec& ensemble);

    EnsembleSpec ensemble{};  // all pointers point into device memory
    struct Program {
        ProgramSpec spec;     // the same
        const void* numbers;  // Real: matrices column by column, where its instructions say
    };
    Program program{};                  // of problems that are one
    Program own_loss{}, own_metrics{};  // of problems on data
    Program method_program{};
    MethodSpec method{};          // constants at [constant, element of the padded point]
    const TakenPart* taken = {};  // of its state, by metrics of one's own

    // What the rows of problems on data take.
    static double data_bytes(const EnsembleSpec& ensemble);

private:
    std::size_t offset_of(const void* data, std::size_t n);
    template <class T>
    const T* pack(const T* data, std::int64_t n);
    Program packed(ProgramSpec program, const EnsembleSpec& ensemble, std::vector<MethodPoint>* points = nullptr);
    void pack(MatrixView& m, std::int64_t rows, std::int64_t columns);
    void pack(VectorView& v, std::int64_t n);

    std::vector<char> bytes_;  // stay: the device may not have read them yet
    std::unique_ptr<DeviceMemory> memory_;
    std::vector<std::unique_ptr<DeviceMemory>> data_;
};

}  // namespace anneal_sgd::cuda
