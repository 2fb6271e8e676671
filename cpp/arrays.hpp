// Array types of the Python bindings: views of NumPy arrays for arguments, and new C-contiguous arrays for results.
#pragma once
#include <nanobind/ndarray.h>

#include <algorithm>
#include <initializer_list>
#include <memory>

#include "kernel_table.hpp"

namespace gaussmix {

namespace nb = nanobind;

// An array whose type in the stub file (.pyi) mentions neither device nor memory order nor flags, unlike nanobind's own
// array type.
template <class... Config>
struct Array : nb::ndarray<Config...> {
    using Base = nb::ndarray<Config...>;
    using Base::Base;
    Array() = default;
    Array(const Base& array) : Base(array) {}
};

// Returns the number of elements along one axis, as a signed number.
template <class Array>
Index extent(const Array& array, std::size_t axis) {
    return static_cast<Index>(array.shape(axis));
}

// An input array with any strides. If kDimensions is omitted, the array may have any number of dimensions.
template <class T, int... kDimensions>
using Strided = Array<const T, nb::ndim<kDimensions>..., nb::device::cpu>;

template <class T, int... kDimensions>
using Contiguous = Array<const T, nb::ndim<kDimensions>..., nb::c_contig, nb::device::cpu>;

// An array that belongs to the Python caller and that the C++ core changes in place.
template <class T, int... kDimensions>
using Writable = Array<T, nb::ndim<kDimensions>..., nb::c_contig, nb::device::cpu>;

template <class T>
using Result = Array<nb::numpy, T, nb::c_contig>;

// A new array that owns its memory. `release` hands the array to Python, and is the only method that needs the GIL.
template <class T>
class NewArray {
public:
    explicit NewArray(std::initializer_list<std::size_t> shape) : n_dimensions_(shape.size()) {
        std::copy(shape.begin(), shape.end(), shape_);
        std::size_t size = 1;
        for (const std::size_t length : shape) size *= length;
        // The array is not initialised. The code uses `new`, because older versions of libc++ lack
        // make_unique_for_overwrite.
        data_.reset(new T[size]);
    }
    T* data() { return data_.get(); }
    Result<T> release() {
        T* data = data_.release();
        nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
        return Result<T>(data, n_dimensions_, shape_, owner);
    }

private:
    std::size_t n_dimensions_, shape_[3];
    std::unique_ptr<T[]> data_;
};

}  // namespace gaussmix

namespace nanobind::detail {

template <class... Config>
struct type_caster<gaussmix::Array<Config...>> {
    using Caster = make_caster<ndarray<Config...>>;
    using Scalar = typename Caster::Scalar;
    static constexpr auto kEnd =
        const_name<std::is_same_v<Scalar, bool>>("_]", "]");  // writes numpy.bool_ for booleans
    NB_TYPE_CASTER(gaussmix::Array<Config...>,
                   const_name("numpy.typing.NDArray[numpy.") + dtype_traits<Scalar>::name + kEnd)

    template <class Flags>
    bool from_python(handle source, Flags flags, cleanup_list* cleanup) noexcept {
        Caster caster;
        if (!caster.from_python(source, flags, cleanup)) return false;
        value = caster.value;
        return true;
    }
    static handle from_cpp(const gaussmix::Array<Config...>& array, rv_policy policy, cleanup_list* cleanup) noexcept {
        return Caster::from_cpp(array, policy, cleanup);
    }
};

}  // namespace nanobind::detail
