// Releases and takes the GIL so that a process can end while threads compute.
//
// When the interpreter finalises, CPython before 3.14 ends a thread that asks for the GIL by unwinding its stack. The
// unwinding meets `noexcept` functions of nanobind, which then abort the process. So no thread asks for the GIL once
// `end_gil_requests` has run, which gaussmix/__init__.py registers with `atexit`: a thread that would ask sleeps until
// the process ends. Passes end soon, because they ask for interrupts.
#pragma once
#include <nanobind/nanobind.h>

namespace gaussmix {

// Counts a thread from before it asks for the GIL. `ReleasedGil` ends the count when the thread has the GIL, `AcquiredGil`
// when the thread has given it back.
class GilRequest {
public:
    GilRequest();
    ~GilRequest();
    GilRequest(const GilRequest&) = delete;
    GilRequest& operator=(const GilRequest&) = delete;
};

class ReleasedGil {
public:
    ReleasedGil() : state_(PyEval_SaveThread()) {}
    ~ReleasedGil() {
        const GilRequest request;
        PyEval_RestoreThread(state_);
    }
    ReleasedGil(const ReleasedGil&) = delete;
    ReleasedGil& operator=(const ReleasedGil&) = delete;

private:
    PyThreadState* const state_;
};

class AcquiredGil {
    const GilRequest request_;
    const nanobind::gil_scoped_acquire acquire_;
};

// Waits for the requests under way, at most a second, and lets no thread but the calling one make another.
void end_gil_requests();

}  // namespace gaussmix
