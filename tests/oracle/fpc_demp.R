# Writes Hennig's merging by misclassification for the mixtures in mclust/options.json: Rscript fpc_demp.R > fpc_demp.json
suppressMessages({library(mclust); library(fpc); library(jsonlite)})
examples <- fromJSON("mclust/options.json", simplifyVector = FALSE)$clustcombi$examples
part <- function(example) {
  rows <- as.matrix(read.csv(file.path("mclust", example$csv)))
  d <- ncol(rows)
  sigma <- array(0, c(d, d, example$G))
  places <- which(upper.tri(diag(d), diag = TRUE), arr.ind = TRUE)  # by column: the lower triangle by row
  for (k in 1:example$G) {
    sigma[, , k][places[, 2:1]] <- sigma[, , k][places] <- unlist(example$parameters$sigma_tril[[k]])
  }
  pro <- unlist(example$parameters$pro)
  mean <- t(matrix(unlist(example$parameters$mean), example$G, d, byrow = TRUE))
  z <- estep(rows, modelName = "VVV", parameters = list(pro = pro, mean = mean, variance = list(modelName = "VVV", d = d, G = example$G,
    sigma = sigma, cholsigma = array(apply(sigma, 3, chol), dim(sigma)))))$z
  between <- function(merge) {  # the overlaps of all clusters before this merge of clustCombi
    now <- z
    for (earlier in example$merges[seq_len(merge - 1)]) now <- now %*% t(matrix(unlist(earlier$combiM), ncol = ncol(now), byrow = TRUE))
    zmisclassification.matrix(now)
  }
  merged <- function(cutoff) {
    found <- mergenormals(rows, NULL, clustering = map(z), probs = colMeans(z), muarray = mean, Sigmaarray = sigma, z = z,
                          method = "demp", cutoff = cutoff)
    list(cutoff = cutoff, labels = found$clustering)
  }
  list(overlap = lapply(seq_along(example$merges), between), merged = lapply(c(0.01, 0.025, 0.05), merged))
}
cat(toJSON(list(fpc = format(packageVersion("fpc")), R = R.version.string, examples = lapply(examples, part)),
           digits = 15, auto_unbox = TRUE), "\n")
