// Checks after about every 0.1 ms of work whether the pass is cancelled. The checks for cancellation take negligible
// time, and no loop delays an interrupt for long, even if there are many components and features.
#pragma once
#include "../kernel_table.hpp"

namespace gaussmix::GAUSSMIX_ISA {

constexpr Index kCostOfMoving = 4;  // estimated cost of copying a number in memory, in multiply-adds

class Poll {
public:
    explicit Poll(const Listener& listener) : listener_(listener) {}

    // Adds `work`, the number of multiply-adds since the last call, to a counter, and returns true if the pass is
    // cancelled.
    bool is_cancelled(Index work) {
        spent_ += work;
        if (spent_ < kWorkBetween || is_cancelled_) return is_cancelled_;
        spent_ = 0;
        return is_cancelled_ = listener_.ask(listener_.self);
    }
    bool is_cancelled() const { return is_cancelled_; }

private:
    static constexpr Index kWorkBetween = 1'000'000;
    Listener listener_;
    Index spent_ = 0;
    bool is_cancelled_ = false;
};

}  // namespace gaussmix::GAUSSMIX_ISA
