#include "dispatch.hpp"

#include <cstdlib>
#include <initializer_list>
#include <stdexcept>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define GAUSSMIX_DECLARE(isa)          \
    namespace isa {                    \
    extern const KernelTable kKernels; \
    }

namespace gaussmix {

#ifdef GAUSSMIX_HAS_PORTABLE
GAUSSMIX_DECLARE(portable)
#endif
#ifdef GAUSSMIX_HAS_NEON
GAUSSMIX_DECLARE(neon)
#endif
#ifdef GAUSSMIX_HAS_AVX2
GAUSSMIX_DECLARE(avx2)
#endif
#ifdef GAUSSMIX_HAS_AVX512
GAUSSMIX_DECLARE(avx512)
#endif

namespace {

#if defined(__x86_64__)

// Returns the highest x86-64 level that both the processor and the operating system support: 1, 3 (AVX2, FMA) or 4
// (AVX-512). The function reads cpuid itself, because some linkers do not find the symbols that __builtin_cpu_supports
// needs. The bit of every extension is checked, because a virtual machine may hide any single extension.
int x86_64_level() {
    struct Registers {
        unsigned a = 0, b = 0, c = 0, d = 0;
    } basic, more, extended;
    __get_cpuid_count(1, 0, &basic.a, &basic.b, &basic.c, &basic.d);
    __get_cpuid_count(7, 0, &more.a, &more.b, &more.c, &more.d);
    __get_cpuid_count(0x80000001, 0, &extended.a, &extended.b, &extended.c, &extended.d);
    const auto has = [](unsigned bits, std::initializer_list<int> all) {
        for (const int bit : all) {
            if ((bits >> bit & 1) == 0) return false;
        }
        return true;
    };
    const bool is_v3 = has(basic.c, {12, 22, 27, 28, 29}) &&  // bits of FMA, MOVBE, OSXSAVE, AVX and F16C
                       has(more.b, {3, 5, 8}) &&              // bits of BMI, AVX2 and BMI2
                       has(extended.c, {5});                  // bit of LZCNT
    if (!is_v3) return 1;
    unsigned saved = 0, high = 0;  // bits for the kinds of registers that the operating system saves
    asm volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if (!has(saved, {1, 2})) return 1;
#ifdef __APPLE__  // macOS enables the AVX-512 registers only when they are first used
    saved |= 0xe0;
#endif
    return has(more.b, {16, 17, 28, 30, 31}) && has(saved, {5, 6, 7}) ? 4 : 3;  // bits of AVX-512 F, DQ, CD, BW, VL
}

#endif

std::vector<const KernelTable*> find_usable_kernels() {
    std::vector<const KernelTable*> usable;
#if defined(__x86_64__)
    [[maybe_unused]] const int level = x86_64_level();
    usable.push_back(&portable::kKernels);
#if defined(GAUSSMIX_HAS_AVX2)
    if (level >= 3) usable.push_back(&avx2::kKernels);
#endif
#if defined(GAUSSMIX_HAS_AVX512)
    if (level >= 4) usable.push_back(&avx512::kKernels);
#endif
#elif defined(GAUSSMIX_HAS_NEON)  // always usable, because every arm64 processor has NEON
    usable.push_back(&neon::kKernels);
#else
    usable.push_back(&portable::kKernels);
#endif
    return usable;
}

}  // namespace

const std::vector<const KernelTable*>& usable_kernels() {
    static const std::vector<const KernelTable*> usable = find_usable_kernels();
    return usable;
}

const char* omitted_kernels() {
#if defined(__x86_64__)
    [[maybe_unused]] const int level = x86_64_level();
#if defined(GAUSSMIX_OMITS_AVX512)
    if (level >= 4) return "avx512";
#endif
#if defined(GAUSSMIX_OMITS_AVX2)
    if (level == 3) return "avx2";
#endif
#endif
    return "";
}

const KernelTable& active_kernels() {
    const auto& usable = usable_kernels();
    const char* forced = std::getenv("GAUSSMIX_ISA");
    if (forced == nullptr || *forced == '\0') return *usable.back();
    std::string names;
    for (const KernelTable* kernels : usable) {
        if (std::string(forced) == kernels->isa) return *kernels;
        names += std::string(names.empty() ? "" : ", ") + kernels->isa;
    }
    throw std::invalid_argument("GAUSSMIX_ISA is '" + std::string(forced) + "'; this processor can run " + names);
}

}  // namespace gaussmix
