# Fit a mixture with mclust's own start: Rscript optimum.R DATA.csv OUT.json K MODEL
words <- commandArgs(TRUE)
suppressMessages(library(mclust))
rows <- as.matrix(read.csv(words[1], header = FALSE))
set.seed(0)
used <- system.time(found <- Mclust(rows, G = as.integer(words[3]), modelNames = words[4], verbose = FALSE))
cat(sprintf('{"seconds": %.6f, "score": %.17g}', used[["user.self"]] + used[["sys.self"]], found$loglik / nrow(rows)),
    file = words[2])
