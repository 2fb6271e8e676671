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
    explicit Buffer(Index bytes) : data_(block_cache().take(bytes), Delete{padded_size(bytes)}) {}
    static Buffer of_doubles(Index count) { return Buffer(count * static_cast<Index>(sizeof(double))); }
    void* get() const { return data_.get(); }
    double* doubles() const { return static_cast<double*>(get()); }

private:
    static constexpr std::align_val_t kLine{64};
    // sizes, in bytes, of the smallest block and of the largest block that a thread caches
    static constexpr Index kMinBytes = 1 << 10, kMaxBytes = 1 << 16;
#ifdef GAUSSMIX_KEEPS_NO_MEMORY
    static constexpr Index kMaxBlocks = 0;  // no cache, so that sanitizers detect every access outside a block
#else
    static constexpr Index kMaxBlocks = 16;
#endif

    // Rounds the size up to a power of two, so that a cached block can be reused for requests of similar size. Blocks
    // that are never cached have exactly `bytes` bytes.
    static Index padded_size(Index bytes) {
        if (kMaxBlocks == 0 || bytes > kMaxBytes) return bytes;
        Index size = kMinBytes;
        while (size < bytes) size *= 2;
        return size;
    }

    struct BlockCache {
        struct Block {
            void* data;
            Index bytes;
        };
        std::array<Block, static_cast<std::size_t>(kMaxBlocks + 1)> blocks;
        Index count = 0;

        ~BlockCache() {
            while (count > 0) ::operator delete(blocks[--count].data, kLine);
        }
        void* take(Index bytes) {
            const Index size = padded_size(bytes);
            for (Index i = count; i-- > 0;) {
                Block& block = blocks[i];
                if (block.bytes != size) continue;
                void* data = block.data;
                block = blocks[--count];
                return data;
            }
            return ::operator new(static_cast<std::size_t>(size), kLine);
        }
        void give(void* data, Index bytes) {
            if (count < kMaxBlocks && bytes <= kMaxBytes) {
                blocks[count++] = {data, bytes};
            } else {
                ::operator delete(data, kLine);
            }
        }
    };

    static BlockCache& block_cache() {
        static thread_local BlockCache blocks;
        return blocks;
    }

    struct Delete {
        Index bytes;
        void operator()(void* data) const { block_cache().give(data, bytes); }
    };
    std::unique_ptr<void, Delete> data_;
};

}  // namespace gaussmix
