# Standard errors of 999 parametric refits by R's package mixtools 2.0.0.1: Rscript boot_se.R > boot_se.json
#
# The data are Old Faithful; results are weights, means and lower triangles of covariances, for the larger component first.
library(mixtools)
rows <- as.matrix(read.csv("mclust/faithful.csv"))
set.seed(1)
start <- list(c(4.3, 80), c(2, 54))
sink(stderr())  # because mixtools prints the number of steps
sigma <- list(diag(c(0.2, 36)), diag(c(0.1, 34)))
fit <- mvnormalmixEM(rows, k = 2, lambda = c(0.64, 0.36), mu = start, sigma = sigma, epsilon = 1e-8)
refits <- boot.se(fit, B = 999, epsilon = 1e-8)
sink()
triangles <- sapply(refits$sigma.se, function(each) each[c(1, 2, 4)])
se <- c(refits$lambda.se, unlist(refits$mu.se), triangles)
estimate <- c(fit$lambda, unlist(fit$mu), sapply(fit$sigma, function(each) each[c(1, 2, 4)]))
line <- function(name, values) sprintf('  "%s": [%s]', name, paste(sprintf("%.8g", values), collapse = ", "))
cat("{\n", line("estimate", estimate), ",\n", line("bse", se), "\n}\n", sep = "")
