# EM of mclust, called by mclust.py with: n d K structure iterations problem result. mclust.py describes the files.
suppressPackageStartupMessages(library(mclust))
words <- commandArgs(trailingOnly = TRUE)
n <- as.integer(words[1]); d <- as.integer(words[2]); K <- as.integer(words[3])
full <- words[4] == "full"
file <- file(words[6], "rb")
rows <- t(matrix(readBin(file, "double", n * d), d, n))
pro <- readBin(file, "double", K)
mean <- matrix(readBin(file, "double", K * d), d, K)
variances <- readBin(file, "double", if (full) K * d * d else K * d)
close(file)
if (full) {
  sigma <- array(variances, c(d, d, K))
  cholsigma <- array(apply(sigma, 3, chol), c(d, d, K))
  model <- "VVV"
  variance <- list(modelName = model, d = d, G = K, sigma = sigma, cholsigma = cholsigma)
} else {
  values <- matrix(variances, d, K)
  scale <- apply(values, 2, function(v) exp(mean(log(v))))
  model <- "VVI"
  variance <- list(modelName = model, d = d, G = K, scale = scale, shape = sweep(values, 2, scale, "/"))
}
parameters <- list(pro = pro, mean = mean, variance = variance)
resident <- function(field) {
  line <- grep(field, readLines("/proc/self/status"), value = TRUE)
  as.numeric(strsplit(trimws(sub(".*:", "", line)), " ")[[1]][1]) / 1024
}

invisible(gc())
cat("5", file = "/proc/self/clear_refs")
before <- resident("VmRSS")
began <- Sys.time()
fit <- em(model, data = rows, parameters = parameters, warn = FALSE,
          control = emControl(tol = c(0, 0), itmax = as.integer(words[5])))
seconds <- as.numeric(Sys.time() - began, units = "secs")
megabytes <- resident("VmHWM") - before
stopifnot(abs(attr(fit, "info")["iterations"]) == as.integer(words[5]))

found <- fit$parameters
sigma <- found$variance$sigma
if (!full) sigma <- apply(sigma, 3, diag)
file <- file(words[7], "wb")
writeBin(c(seconds, megabytes, fit$loglik, found$pro, found$mean, sigma), file)
close(file)
