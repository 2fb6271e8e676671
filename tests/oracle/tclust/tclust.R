# Writes examples/trimming_tclust.json: tclust's results for the rows of examples/trimming.py, read from a CSV without names.
#   Rscript tclust.R <folder with the R files of tclust 2.1-2> <rows.csv> <out.json>
# It runs tclust's own reference in plain R, which needs no compiled code: R_tclust.R, R_restr.R, R_restr.eigen.R.
arguments <- commandArgs(TRUE)
for (name in c("R_restr.R", "R_restr.eigen.R", "R_tclust.R", "tclust-internal.R")) source(file.path(arguments[1], name))
x <- as.matrix(read.csv(arguments[2], header = FALSE))
dimnames(x) <- NULL
set.seed(1)
n_starts <- 400
found <- .tclust.R(
  x, k = 3, alpha = 0.1, nstart = n_starts, iter.max = 20,
  f.restr = .restr.diffax, restr.deter = FALSE, restr.fact = 50
)
settings <- list(k = 3, alpha = 0.1, restr.fact = 50, nstart = n_starts, iter.max = 20, seed = 1)
jsonlite::write_json(list(
  versions = list(R = as.character(getRversion()), tclust = "2.1-2"), settings = settings, objective = found$obj,
  weights = found$weights, means = t(found$centers), covariances = lapply(1:3, function(k) found$cov[, , k]),
  cluster = found$cluster
), arguments[3], digits = NA, auto_unbox = TRUE)
