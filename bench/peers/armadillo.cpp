// EM of Armadillo, called by armadillo.py: n d K structure iterations problem result. program.py says what the files
// hold; Armadillo's columns are our rows, so nothing is transposed.
#include <armadillo>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace {

double resident(const std::string& field) {  // megabytes
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.rfind(field, 0) == 0) return std::stod(line.substr(field.size() + 1)) / 1024;
    }
    return 0;
}

double* read(std::vector<double>& values, std::size_t size, std::FILE* file) {
    values.resize(size);
    if (std::fread(values.data(), sizeof(double), size, file) != size) std::exit(2);
    return values.data();
}

struct Times {
    double seconds, megabytes;
    bool learned;
};

template <typename Model>
Times learn(Model& model, const arma::mat& rows, arma::uword n_components, arma::uword iterations) {
    std::ofstream("/proc/self/clear_refs") << "5";
    const double before = resident("VmRSS");
    const auto began = std::chrono::steady_clock::now();
    const bool learned =
        model.learn(rows, n_components, arma::maha_dist, arma::keep_existing, 0, iterations, 0.0, false);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - began;
    return {elapsed.count(), resident("VmHWM") - before, learned};
}

template <typename Covariances>
void write(const char* path, const Times& times, double log_likelihood, const arma::rowvec& weights,
           const arma::mat& means, const Covariances& covariances) {
    std::FILE* file = std::fopen(path, "wb");
    const double head[] = {times.seconds, times.megabytes, log_likelihood};
    std::fwrite(head, sizeof(double), 3, file);
    std::fwrite(weights.memptr(), sizeof(double), weights.n_elem, file);
    std::fwrite(means.memptr(), sizeof(double), means.n_elem, file);
    std::fwrite(covariances.memptr(), sizeof(double), covariances.n_elem, file);
    std::fclose(file);
}

}  // namespace

int main(int, char** words) {
    const arma::uword n = std::stoul(words[1]), d = std::stoul(words[2]), k = std::stoul(words[3]);
    const bool full = std::string(words[4]) == "full";
    const arma::uword iterations = std::stoul(words[5]);
    std::FILE* file = std::fopen(words[6], "rb");
    std::vector<double> row_values, weight_values, mean_values, covariance_values;
    const arma::mat rows(read(row_values, n * d, file), d, n, false);
    const arma::rowvec weights(read(weight_values, k, file), k, false);
    const arma::mat means(read(mean_values, k * d, file), d, k, false);
    read(covariance_values, full ? k * d * d : k * d, file);
    std::fclose(file);
    Times times;
    if (full) {
        arma::gmm_full model;
        model.set_params(means, arma::cube(covariance_values.data(), d, d, k), weights);
        times = learn(model, rows, k, iterations);
        write(words[7], times, model.sum_log_p(rows), model.hefts, model.means, model.fcovs);
    } else {
        arma::gmm_diag model;
        model.set_params(means, arma::mat(covariance_values.data(), d, k), weights);
        times = learn(model, rows, k, iterations);
        write(words[7], times, model.sum_log_p(rows), model.hefts, model.means, model.dcovs);
    }
    return times.learned ? 0 : 1;
}
