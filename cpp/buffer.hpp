// Scratch memory of the kernels.
#pragma once
#include <array>
#include <memory>
#include <new>

#include "kernel_table.hpp"

namespace gaussmix {

// Memory that is aligned to cache lines and not initialised, so that a large block is first touched by the thread that
// uses this block. Each thread caches a few small blocks, because an EM step on few rows needs five blocks and would
// otherwise spend a tenth of its time in the allocator.
class Buffer {
public:
    explicit Buffer(Index bytes) : data_(piece_cache().take(bytes), Delete{room_for(bytes)}) {}
    static Buffer of_doubles(Index count) { return Buffer(count * static_cast<Index>(sizeof(double))); }
    void* get() const { return data_.get(); }
    double* doubles() const { return static_cast<double*>(get()); }

private:
    static constexpr std::align_val_t kLine{64};
    // sizes, in bytes, of the smallest block and of the largest block that a thread caches
    static constexpr Index kMinBytes = 1 << 10, kMaxBytes = 1 << 16;
#ifdef GAUSSMIX_KEEPS_NO_MEMORY
    static constexpr Index kMaxPieces = 0;  // no cache, so that sanitizers detect every access outside a block
#else
    static constexpr Index kMaxPieces = 16;
#endif

    // Rounds the size up to a power of two, so that a cached block can be reused for requests of similar size. Blocks
    // that are never cached have exactly `bytes` bytes.
    static Index room_for(Index bytes) {
        if (kMaxPieces == 0 || bytes > kMaxBytes) return bytes;
        Index room = kMinBytes;
        while (room < bytes) room *= 2;
        return room;
    }

    struct PieceCache {
        struct Piece {
            void* data;
            Index bytes;
        };
        std::array<Piece, static_cast<std::size_t>(kMaxPieces + 1)> pieces;
        Index count = 0;

        ~PieceCache() {
            while (count > 0) ::operator delete(pieces[static_cast<std::size_t>(--count)].data, kLine);
        }
        void* take(Index bytes) {
            const Index room = room_for(bytes);
            for (Index i = count; i-- > 0;) {
                Piece& piece = pieces[static_cast<std::size_t>(i)];
                if (piece.bytes != room) continue;
                void* data = piece.data;
                piece = pieces[static_cast<std::size_t>(--count)];
                return data;
            }
            return ::operator new(static_cast<std::size_t>(room), kLine);
        }
        void give(void* data, Index bytes) {
            if (count < kMaxPieces && bytes <= kMaxBytes) {
                pieces[static_cast<std::size_t>(count++)] = {data, bytes};
            } else {
                ::operator delete(data, kLine);
            }
        }
    };

    static PieceCache& piece_cache() {
        static thread_local PieceCache pieces;
        return pieces;
    }

    struct Delete {
        Index bytes;
        void operator()(void* data) const { piece_cache().give(data, bytes); }
    };
    std::unique_ptr<void, Delete> data_;
};

}  // namespace gaussmix
