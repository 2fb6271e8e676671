# Percentile intervals of mclust's bootstrap: Rscript coverage.R ROWS.csv ENDS.csv MODEL N_COMPONENTS N_REFITS LEVEL
#
# A row of ROWS has the number of its data set, its features, and the responsibilities of the true components. A row of
# ENDS has the number of a data set, 0 for low or 1 for high, then all weights, means and covariances by component.
words <- commandArgs(TRUE)
suppressMessages(library(mclust))
numbers <- as.matrix(read.csv(words[1], header = FALSE))
K <- as.integer(words[4])
features <- 2:(ncol(numbers) - K)
ends <- NULL
for (set in unique(numbers[, 1])) {
  rows <- numbers[numbers[, 1] == set, features, drop = FALSE]
  fit <- Mclust(rows, G = K, modelNames = words[3], verbose = FALSE)
  best <- me(rows, words[3], numbers[numbers[, 1] == set, -c(1, features)])  # the same components, in the same order
  fit[names(best)] <- best
  set.seed(set)
  refits <- try(MclustBootstrap(fit, nboot = as.integer(words[5]), type = "bs", verbose = FALSE), silent = TRUE)
  if (inherits(refits, "try-error")) next
  draws <- cbind(refits$pro, t(apply(refits$mean, 1, c)), t(apply(refits$variance, 1, c)))
  alpha <- as.numeric(words[6]) / 2
  found <- apply(draws, 2, quantile, c(alpha, 1 - alpha), na.rm = TRUE)
  ends <- rbind(ends, cbind(set, 0:1, found))
}
write.table(ends, words[2], sep = ",", row.names = FALSE, col.names = FALSE)
