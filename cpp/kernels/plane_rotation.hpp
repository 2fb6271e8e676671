// Rotates two vectors in the plane that they span; the vectors are padded to a multiple of eight doubles (the number of
// lanes).
#pragma once
#include "layout.hpp"

namespace gaussmix::GAUSSMIX_ISA {

static_assert(padded_to_lanes(1) == kLanes);  // callers pad vectors to a multiple of kLanes

struct Rotation {
    double cosine, sine;
};

// Replaces a by cosine a + sine b, and b by cosine b - sine a.
GAUSSMIX_INLINE void rotate(double* __restrict a, double* __restrict b, Index size, Rotation by) {
    const Vec cosine = Vec::broadcast(by.cosine), sine = Vec::broadcast(by.sine), minus = Vec::broadcast(-by.sine);
    for (Index i = 0; i < size; i += kLanes) {
        const Vec x = Vec::load(a + i), y = Vec::load(b + i);
        fma(cosine, x, sine * y).store(a + i);
        fma(cosine, y, minus * x).store(b + i);
    }
}

struct Pair {
    Index p, q;
};
// Returns the i-th pair of axes in a round of n_seats / 2 pairs. As in a round-robin tournament, one axis keeps its
// seat while the other axes move to the next seat after each round, so that every pair of axes meets once in
// n_seats - 1 rounds. `n_seats` is even; if the number of axes is odd, the last seat is empty.
inline Pair pair_of_round(Index n_seats, Index round, Index i) {
    const auto seated = [&](Index seat) {
        if (seat == 0) return seat;
        return seat > round ? seat - round : seat - round + n_seats - 1;
    };
    const Index a = seated(i), b = seated(n_seats - 1 - i);
    return a < b ? Pair{a, b} : Pair{b, a};
}

}  // namespace gaussmix::GAUSSMIX_ISA
