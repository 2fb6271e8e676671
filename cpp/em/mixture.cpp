#include "mixture.hpp"

#include <algorithm>

namespace gaussmix {

void Mixture::read(const MixtureView& from) {
    std::copy_n(from.weights, weights.size(), weights.begin());
    std::copy_n(from.means, means.size(), means.begin());
    std::copy_n(from.covariances, covariances.size(), covariances.begin());
}

void Mixture::write(const MixtureView& to) const {
    std::copy(weights.begin(), weights.end(), to.weights);
    std::copy(means.begin(), means.end(), to.means);
    std::copy(covariances.begin(), covariances.end(), to.covariances);
    std::copy(factors.begin(), factors.end(), to.factors);
    std::copy(log_abs_det.begin(), log_abs_det.end(), to.log_abs_det);
}

bool factorise(const KernelTable& kernels, const Algebra& algebra, Index d, Listener listener, Mixture& mixture) {
    return whiten(kernels, algebra.factor_shape(), static_cast<Index>(mixture.log_abs_det.size()), d,
                  mixture.covariances.data(), listener, mixture.factors.data(), mixture.log_abs_det.data());
}

}  // namespace gaussmix
