// What the files that bind methods of `Target` share.
#pragma once
#include <nanobind/nanobind.h>

#include "arguments.hpp"

namespace gaussmix {

struct Target {
    const KernelTable* kernels;
};

inline bool is_interrupted() {
    const nb::gil_scoped_acquire acquire;
    return PyErr_CheckSignals() != 0;
}

inline int check_threads(int n_threads) {
    require(n_threads >= 1, "n_threads must be at least 1");
    return n_threads;
}

// Runs a pass without the GIL; an interrupt's exception goes on to the caller.
template <class Pass>
void without_gil(Pass&& pass) {
    bool is_complete;
    {
        const nb::gil_scoped_release release;
        is_complete = pass();
    }
    if (!is_complete) throw nb::python_error();
}

// Methods of one file each.
void bind_axes(nb::class_<Target>& type);
void bind_draws(nb::class_<Target>& type);
void bind_em(nb::class_<Target>& type);
void bind_incomplete(nb::class_<Target>& type);

}  // namespace gaussmix
