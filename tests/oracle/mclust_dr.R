# Writes the directions of MclustDR for iris as JSON: Rscript mclust_dr.R > mclust_dr.json
suppressMessages(library(mclust))
set.seed(1)
fit <- Mclust(iris[, 1:4], G = 3, modelNames = "VVV", verbose = FALSE)
number <- function(x) paste(formatC(x, digits = 15, format = "g"), collapse = ", ")
rows <- function(m) paste0("[", apply(m, 1, number), "]", collapse = ", ")
part <- function(lambda) {
  dr <- MclustDR(fit, lambda = lambda)
  sprintf('{"lambda": %s, "numdir": %d, "evalues": [%s], "basis": [%s]}',
          number(lambda), dr$numdir, number(dr$evalues), rows(dr$basis))
}
sigma <- paste0("[", sapply(1:3, function(k) rows(fit$parameters$variance$sigma[, , k])), "]", collapse = ", ")
cat(sprintf('{"mclust": "%s", "weights": [%s], "means": [%s], "covariances": [%s],\n "directions": [%s]}\n',
            packageVersion("mclust"), number(fit$parameters$pro), rows(t(fit$parameters$mean)), sigma,
            paste(sapply(c(1, 0.5, 0), part), collapse = ",\n  ")))
