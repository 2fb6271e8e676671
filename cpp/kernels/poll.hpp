// Asks the listener about every 0.1 ms of work whether to go on: seldom enough to cost nothing, and often enough that
// an interrupt waits for no loop, however many components and features there are.
#pragma once
#include "../kernel_table.hpp"

namespace gaussmix::GAUSSMIX_ISA {

constexpr Index kCostOfMoving = 4;  // a number from one place in memory to another, in multiply-adds

class Patience {
public:
    explicit Patience(const Listener& listener) : listener_(listener) {}

    // Call after so many multiply-adds, roughly. True if what is being done is to be given up.
    bool is_over(Index work) {
        spent_ += work;
        if (spent_ < kWorkBetween || is_over_) return is_over_;
        spent_ = 0;
        return is_over_ = listener_.ask(listener_.self);
    }
    bool is_over() const { return is_over_; }

private:
    static constexpr Index kWorkBetween = 1'000'000;
    Listener listener_;
    Index spent_ = 0;
    bool is_over_ = false;
};

}  // namespace gaussmix::GAUSSMIX_ISA
