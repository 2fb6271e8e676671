// Releases and takes the GIL (Python's global interpreter lock) so that a process can end while threads compute.
//
// When the interpreter finalises, CPython before 3.14 ends a thread that requests the GIL by unwinding its stack. The
// unwinding reaches `noexcept` functions of nanobind, so the process aborts. Therefore no thread requests the GIL
// after `end_gil_requests`, which gaussmix/__init__.py registers with `atexit`: a thread that would request the GIL
// sleeps until the process ends. Passes over the rows stop soon, because they request the GIL about every 20 ms to
// check for interrupts.
#pragma once
#include <nanobind/nanobind.h>

namespace gaussmix {

// Registers the current thread as requesting the GIL as long as the object exists. A `ReleasedGil` keeps a `GilRequest`
// until the thread has the GIL again, and an `AcquiredGil` keeps a `GilRequest` until the thread has released the GIL.
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

// Prevents all threads except the calling thread from requesting the GIL, and waits at most a second for pending
// requests.
void end_gil_requests();

}  // namespace gaussmix
