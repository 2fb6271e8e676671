# Writes fits of EVE and VVE from labels by the ranks of a column: Rscript mclust_axes.R > mclust_axes.json
suppressMessages(library(mclust)); options(warn = -1)
tight <- emControl(tol = c(1e-9, 1e-9), itmax = c(4000, 2000))
lines <- c()
for (name in c("banknote", "iris")) {
  rows <- unname(as.matrix(read.csv(sprintf("mclust/%s.csv", name)))); n <- nrow(rows)
  for (column in 1:ncol(rows)) for (k in 2:4) for (model in c("EVE", "VVE")) {
    labels <- integer(n); labels[order(rows[, column], 1:n)] <- floor((1:n - 1) * k / n) + 1
    ends <- lapply(list(emControl(), tight), function(control)
      tryCatch(me(rows, modelName = model, z = unmap(labels, groups = 1:k), control = control)$loglik, error = function(e) NA))
    ends <- unlist(ends); ends <- ends[is.finite(ends)]
    if (length(ends)) lines <- c(lines, sprintf('  ["%s", %d, "%s", %d, %.10f]', name, column - 1, model, k, max(ends)))
  }
}
cat(sprintf('{"mclust": "%s", "fits": [\n%s\n]}\n', packageVersion("mclust"), paste(lines, collapse = ",\n")))
