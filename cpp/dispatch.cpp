#include "dispatch.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace gaussmix {

#ifdef GAUSSMIX_HAS_AVX2
namespace avx2 {
extern const KernelTable kKernels;
}
#endif
#ifdef GAUSSMIX_HAS_AVX512
namespace avx512 {
extern const KernelTable kKernels;
}
#endif

namespace {

// What a virtual machine may mask although it shows AVX2; clang does not know all of these names.
#ifdef GAUSSMIX_HAS_AVX2
bool has_rest_of_v3() {
#ifdef __clang__
    return true;
#else
    return __builtin_cpu_supports("lzcnt") && __builtin_cpu_supports("movbe") && __builtin_cpu_supports("f16c");
#endif
}
#endif

std::vector<const KernelTable*> find_usable_kernels() {
    std::vector<const KernelTable*> usable;
#ifdef GAUSSMIX_HAS_AVX2
    const bool is_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                       __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && has_rest_of_v3();
    if (is_v3) usable.push_back(&avx2::kKernels);
#endif
#ifdef GAUSSMIX_HAS_AVX512
    const bool is_v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512vl");
    if (is_v3 && is_v4) usable.push_back(&avx512::kKernels);
#endif
    return usable;
}

}  // namespace

const std::vector<const KernelTable*>& usable_kernels() {
    static const std::vector<const KernelTable*> usable = find_usable_kernels();
    return usable;
}

const KernelTable* active_kernels() {
    const auto& usable = usable_kernels();
    const char* forced = std::getenv("GAUSSMIX_ISA");
    if (forced == nullptr || *forced == '\0') return usable.empty() ? nullptr : usable.back();
    std::string names;
    for (const KernelTable* kernels : usable) {
        if (std::string(forced) == kernels->isa) return kernels;
        names += std::string(names.empty() ? "" : ", ") + kernels->isa;
    }
    throw std::invalid_argument("GAUSSMIX_ISA is '" + std::string(forced) + "'; this processor can run " +
                                (names.empty() ? "no compiled kernels: unset it" : names));
}

}  // namespace gaussmix
