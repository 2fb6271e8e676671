# Writes the probabilities of clutter under Byers & Raftery's mixture, with distances that are maxima over the features,
# for the table "noise" of tables.py and for its first column, without repeated rows: Rscript nnclean.R > nnclean.json
suppressMessages({library(prabclus); library(jsonlite)})
table <- pipe("python -c 'import numpy, tables; numpy.savetxt(\"/dev/stdout\", tables.rows_of(\"noise\"), \"%.17g\", \",\")'")
X <- read.csv(table, header = FALSE)
clutter <- function(n_columns) {
  rows <- unique(X[, 1:n_columns, drop = FALSE])
  fit <- NNclean(rows, k = 5, distances = dist(rows, method = "maximum"), convergence = 1e-14)
  volume <- 2^n_columns * fit$kthNND^n_columns
  alpha <- 2 * pi^(n_columns / 2) / (n_columns * gamma(n_columns / 2)) / 2^n_columns  # NNclean's volumes are of balls
  density <- function(rate) dgamma(volume * alpha, fit$k, rate)
  cluster <- fit$p * density(fit$lambda1)
  noise <- (1 - fit$p) * density(fit$lambda2)
  noise / (cluster + noise)  # NNclean's own probabilities leave out the mixture weight p
}
cat(toJSON(list(prabclus = format(packageVersion("prabclus")), R = R.version.string, clutter = lapply(1:2, clutter)),
           digits = 8, auto_unbox = TRUE), "\n")
