// Memory that kernels work in.
#pragma once
#include <memory>
#include <new>

#include "kernel_table.hpp"

namespace gaussmix {

// Memory on a cache line's boundary, not initialised: the thread that uses it touches it first.
class Buffer {
public:
    explicit Buffer(Index bytes) : data_(::operator new(static_cast<std::size_t>(bytes), kLine)) {}
    static Buffer of_doubles(Index count) { return Buffer(count * static_cast<Index>(sizeof(double))); }
    void* get() const { return data_.get(); }
    double* doubles() const { return static_cast<double*>(get()); }

private:
    static constexpr std::align_val_t kLine{64};
    struct Delete {
        void operator()(void* data) const { ::operator delete(data, kLine); }
    };
    std::unique_ptr<void, Delete> data_;
};

}  // namespace gaussmix
