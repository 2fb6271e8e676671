#include "volume.hpp"

#include <algorithm>
#include <limits>

namespace gaussmix {

Values geometric_means(const KernelTable& kernels, const double* variances, Index n, Index d) {
    Values relative = zeros(n * d), means = zeros(n);
    for (Index k = 0; k < n; ++k) {
        const double* v = variances + k * d;
        bool is_usable = true;
        for (Index j = 0; j < d; ++j) is_usable &= v[j] > 0;
        double size = is_usable ? sum(v, d) / static_cast<double>(d) : 0;
        const auto [smallest, largest] = std::minmax_element(v, v + d);
        // A variance divided by a far larger mean variance would underflow.
        if (is_usable && *smallest / size < std::numeric_limits<double>::min())
            size = std::sqrt(*smallest) * std::sqrt(*largest);
        means[k] = size;
        for (Index j = 0; j < d; ++j) relative[k * d + j] = is_usable ? v[j] / size : 1;
    }
    kernels.log(relative.data(), n * d, relative.data());
    for (Index k = 0; k < n; ++k) {
        means[k] *= exponential(sum(relative.data() + k * d, d) / static_cast<double>(d));
    }
    return means;
}

Values equal_volumes(const Values& roots, const double* mass) {
    const Index count = static_cast<Index>(roots.size());
    const double volume = sum(roots.data(), count) / sum(mass, count);
    Values factors;
    for (Index k = 0; k < count; ++k) {
        const double root = roots[k];
        factors.push_back(root > 0 ? volume / root : 1 / mass[k]);
    }
    return factors;
}

}  // namespace gaussmix
