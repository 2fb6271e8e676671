# The EM-test of one normal distribution against two by R's package MixtureInf 1.1, of Chen, Li and S. Li.
#
#     Rscript em_test.R > em_test.json        (in tests/oracle)
#
# `emtest.norm` divides the variance by n - 1 under the null hypothesis, which does not maximise the likelihood.
# "package" is its statistic, and "maximum" is the statistic of the same functions with division by n.
attach(asNamespace("MixtureInf"))

statistic <- function(x) {
  set.seed(1)
  null <- list(1, mean(x), mean((x - mean(x))^2))
  alone <- sum(dnorm(x, null[[2]], sqrt(null[[3]]), log = TRUE))
  ends <- sapply(c(0.1, 0.3, 0.5), function(beta) {
    best <- maxmm.norm(x, beta, 0.25, null, 40, 50, 1e-10)
    emiter.norm(x, best, beta, c(1, 0.25), null, 3)[7]
  })
  2 * (max(ends) - alone)
}

package <- function(x) {
  set.seed(1)
  emtest.norm(x, len = 40, tol = 1e-10, rformat = TRUE)[["EM-test Statistics"]]
}

faithful <- read.csv("mclust/faithful.csv")
iris <- read.csv("mclust/iris.csv")
galaxies <- read.csv("mclust/galaxies.csv")
banknote <- read.csv("mclust/banknote.csv")
cases <- list(
  faithful = faithful, iris = iris[1:4], galaxies = galaxies, banknote = banknote[sapply(banknote, is.numeric)]
)
line <- function(name, x) {
  sprintf('  "%s": {"package": %.10g, "maximum": %.10g}', name, package(x), statistic(x))
}
lines <- unlist(lapply(names(cases), function(table) {
  mapply(line, paste(table, names(cases[[table]]), sep = "."), cases[[table]])
}))
cat("{\n", paste(lines, collapse = ",\n"), "\n}\n", sep = "")
