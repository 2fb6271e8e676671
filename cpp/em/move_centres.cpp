#include "move_centres.hpp"

#include <algorithm>

#include "families/volume.hpp"
#include "passes.hpp"

namespace gaussmix {

bool move_centres(const KernelTable& kernels, const CentresView& task, const Execution& execution, Index& n_left) {
    const Index count = task.n_components, d = task.rows.n_features;
    const Shape shape{count, d, FactorShape::spherical, false, Rule::hard, Second::none};
    const StepView pass{shape, task.rows, task.row_weight, {}, {}};
    const Numbers log_scale = room(count), factors(static_cast<std::size_t>(count), 1.0);
    Numbers mass = room(count), first = room(count * d);
    double log_likelihood, n_far, n_near;
    const MomentsView sums{&log_likelihood, &n_far, &n_near, mass.data(), first.data(), nullptr};
    const ParametersView spheres{log_scale.data(), task.centres, factors.data(), nullptr};
    for (n_left = task.max_passes; n_left > 0; --n_left) {
        if (!step(kernels, pass, spheres, Precision::widened, execution, sums)) return false;
        if (std::any_of(mass.begin(), mass.end(), [](double rows) { return !(rows > 0); })) return true;
        double motion = 0;
        for (Index i = 0; i < count * d; ++i) {
            const double mean = first[i] / mass[i / d], shift = mean - task.centres[i];
            motion += shift * shift;
            task.centres[i] = mean;
        }
        if (motion <= task.settled) n_left = 1;
    }
    return true;
}

}  // namespace gaussmix
