// Computes random bits as a function of a key and a counter, in eight lanes: Philox4x32-10 of Salmon, Moraes, Dror &
// Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", SC11. No state is carried from one number to the next, so
// rows may be drawn in any order by any thread.
//
// The counter's words are the index of the row (64 bits), an index within the row, and the purpose of the bits.
#pragma once
#include "../kernel_table.hpp"
#include "simd/words.hpp"

namespace gaussmix::GAUSSMIX_ISA {

struct Random {  // 32 random bits in the low half of each lane; the high half is arbitrary
    Words words[4];
};

class Philox {
public:
    enum Purpose : std::uint64_t { kNormals, kLabels };

    explicit Philox(std::uint64_t key) {
        auto low = static_cast<std::uint32_t>(key), high = static_cast<std::uint32_t>(key >> 32);
        for (int round = 0; round < kRounds; ++round, low += 0x9E3779B9, high += 0xBB67AE85) {
            keys_[round][0] = low;
            keys_[round][1] = high;
        }
    }

    GAUSSMIX_INLINE Random operator()(Words row, std::uint64_t index, Purpose purpose) const {
        const Words first = Words::broadcast(0xD2511F53), second = Words::broadcast(0xCD9E8D57);
        Words a = row, b = high_half(row), c = Words::broadcast(index), d = Words::broadcast(purpose);
        GAUSSMIX_UNROLL for (int round = 0; round < kRounds; ++round) {
            const Words p = first * a, q = second * c;
            a = high_half(q) ^ b ^ Words::broadcast(keys_[round][0]);
            c = high_half(p) ^ d ^ Words::broadcast(keys_[round][1]);
            b = q;
            d = p;
        }
        return {{a, b, c, d}};
    }

private:
    static constexpr int kRounds = 10;
    std::uint64_t keys_[kRounds][2];
};

}  // namespace gaussmix::GAUSSMIX_ISA
