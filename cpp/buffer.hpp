// Memory that kernels work in.
#pragma once
#include <array>
#include <memory>
#include <new>

#include "kernel_table.hpp"

namespace gaussmix {

// Memory on a cache line's boundary, not initialised: the thread that uses a large piece touches it first. A thread
// keeps a few small pieces: a step of EM on few rows takes five, and would spend a tenth of its time in the allocator.
class Buffer {
public:
    explicit Buffer(Index bytes) : data_(piece_cache().take(bytes), Delete{room_for(bytes)}) {}
    static Buffer of_doubles(Index count) { return Buffer(count * static_cast<Index>(sizeof(double))); }
    void* get() const { return data_.get(); }
    double* doubles() const { return static_cast<double*>(get()); }

private:
    static constexpr std::align_val_t kLine{64};
    static constexpr Index kMinBytes = 1 << 10, kMaxBytes = 1 << 16;  // bytes of the pieces that are kept
#ifdef GAUSSMIX_KEEPS_NO_MEMORY
    static constexpr Index kMaxPieces = 0;  // so that sanitizers see every access outside
#else
    static constexpr Index kMaxPieces = 16;
#endif

    // Powers of two, so that pieces fit again; the very size where the piece is not kept.
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
