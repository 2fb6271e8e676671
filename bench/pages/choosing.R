# Time a whole search of mclust on a table: Rscript choosing.R DATA.csv OUT.json REPEATS
words <- commandArgs(TRUE)
suppressMessages(library(mclust))
rows <- as.matrix(read.csv(words[1], header = FALSE))
set.seed(0)
seconds <- min(replicate(as.integer(words[3]), system.time(found <<- Mclust(rows, G = 1:9, verbose = FALSE))[["elapsed"]]))
cat(sprintf('{"seconds": %.6f, "bic": %.17g, "chosen": "%s %d"}', seconds, -found$bic, found$modelName, found$G),
    file = words[2])
