// The arrays that cross the border: views of NumPy's for input, fresh C-contiguous ones for results.
#pragma once
#include <nanobind/ndarray.h>

#include <initializer_list>
#include <memory>

#include "kernel_table.hpp"

namespace gaussmix {

namespace nb = nanobind;

// Data: read where it lies, with any strides, never copied (bound with noconvert).
template <class T, int kDimensions>
using Strided = nb::ndarray<const T, nb::ndim<kDimensions>, nb::device::cpu>;

// Parameters: small, C-contiguous.
template <int kDimensions>
using Contiguous = nb::ndarray<const double, nb::ndim<kDimensions>, nb::c_contig, nb::device::cpu>;

// Written where they lie.
template <class T, int kDimensions>
using Writable = nb::ndarray<T, nb::ndim<kDimensions>, nb::c_contig, nb::device::cpu>;

template <class T, int kDimensions>
using Result = nb::ndarray<nb::numpy, T, nb::ndim<kDimensions>, nb::c_contig>;

// A result and where to write it; `release` hands it to Python. The GIL is needed only for that.
template <class T, int kDimensions>
class NewArray {
public:
    explicit NewArray(const std::size_t (&shape)[kDimensions]) {
        std::size_t size = 1;
        for (int i = 0; i < kDimensions; ++i) size *= shape_[i] = shape[i];
        data_.reset(new T[size]);  // not cleared; older libc++ has no make_unique_for_overwrite
    }
    T* data() { return data_.get(); }
    Result<T, kDimensions> release() {
        T* data = data_.release();
        nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
        return Result<T, kDimensions>(data, kDimensions, shape_, owner);
    }

private:
    std::size_t shape_[kDimensions];
    std::unique_ptr<T[]> data_;
};

}  // namespace gaussmix
