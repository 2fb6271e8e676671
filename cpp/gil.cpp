#include "gil.hpp"

#include <atomic>
#include <chrono>
#include <thread>

namespace gaussmix {

namespace {

std::atomic<int> n_requests = 0;
std::atomic<bool> has_ended = false;
std::thread::id ending_thread;  // written before `has_ended` is set to true

}  // namespace

GilRequest::GilRequest() {
    // The count is raised before `has_ended` is read, so that either this thread finds `has_ended` true, or
    // `end_gil_requests` waits for this thread.
    ++n_requests;
    if (!has_ended || std::this_thread::get_id() == ending_thread) return;
    --n_requests;
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));  // the process ends soon, and this thread with it
}

GilRequest::~GilRequest() { --n_requests; }

void end_gil_requests() {
    if (has_ended) return;
    ending_thread = std::this_thread::get_id();
    has_ended = true;
    const ReleasedGil released;  // releases the GIL for the pending requests
    // The wait is limited, because a request never ends if the process was forked during the request: the requesting
    // thread does not exist in the new process.
    for (int attempt = 0; attempt < 1000 && n_requests > 0; ++attempt) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

}  // namespace gaussmix
