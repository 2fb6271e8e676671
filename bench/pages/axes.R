# Tables, start labels and mclust's fits with shared axes, for axes.py: Rscript axes.R FOLDER
# Writes R's own tables to FOLDER as CSV; then, for every CSV there, NAME.json: hc's labels and me's log-likelihoods.
suppressMessages({library(mclust); library(MASS)})
has_mlbench <- requireNamespace("mlbench", quietly = TRUE)  # without it, its tables are left out
options(warn = -1)
folder <- commandArgs(TRUE)[1]
of <- function(name, package) { e <- new.env(); data(list = name, package = package, envir = e); get(name, e) }
numbers <- function(x) { m <- as.matrix(x); storage.mode(m) <- "double"; m <- m[complete.cases(m), , drop = FALSE]; unname(m) }
some <- function(m, n) { set.seed(1); m[sort(sample(nrow(m), min(n, nrow(m)))), , drop = FALSE] }
baudry <- function(name) { e <- new.env(); data(list = "Baudry_etal_2010_JCGS_examples", package = "mclust", envir = e); get(name, e) }
made <- function(make) { set.seed(1); make()$x }
gvhd <- new.env(); data(list = "GvHD", package = "mclust", envir = gvhd)
wdbc <- numbers(of("wdbc", "mclust")[, 3:12])
tables <- list(
  faithful = faithful, iris = iris[, 1:4], diabetes = of("diabetes", "mclust")[, -1], banknote = of("banknote", "mclust")[, -1],
  wreath = of("wreath", "mclust"), cross = of("cross", "mclust")[, -1], thyroid = of("thyroid", "mclust")[, -1],
  chevron = of("chevron", "mclust")[, c("x", "y")], unemployment = of("EuroUnemployment", "mclust"),
  wdbc = scale(wdbc), wdbc_raw = wdbc[, 1:5], ex4.1 = baudry("ex4.1"), ex4.2 = baudry("ex4.2"), ex4.3 = baudry("ex4.3"),
  ex4.4.1 = baudry("ex4.4.1"), ex4.4.2 = baudry("ex4.4.2"), gvhd_control = some(gvhd$GvHD.control, 1500), gvhd_positive = some(gvhd$GvHD.pos, 1500),
  boston = scale(Boston[, c("crim", "nox", "rm", "age", "dis", "lstat", "medv")]), crabs = crabs[, 4:8], geyser = geyser, cats = cats[, 2:3],
  pima = Pima.tr[, 1:7], synthetic = rbind(synth.tr, synth.te)[, 1:2], cpus = log(cpus[, c(2, 3, 4, 8)]), fgl = fgl[, c(1:5, 7)], mammals = log(mammals),
  gilgais = gilgais[, 1:8], crime = UScrime[, c(1, 3, 4, 8, 13)], leuk = sqrt(numbers(leuk[, c(1, 3)])),
  quakes = quakes[, 1:4], airquality = airquality[, 1:4], arrests = USArrests, swiss = swiss, trees = trees, rock = rock,
  savings = LifeCycleSavings, stocks = 100 * apply(log(EuStockMarkets), 2, diff), states = scale(state.x77), stackloss = stackloss)
if (has_mlbench) {
  letters <- numbers(of("LetterRecognition", "mlbench")[, -1])
  satellite <- numbers(of("Satellite", "mlbench")[, 1:36])
  vowel <- numbers(of("Vowel", "mlbench")[, 2:10])
  vehicle <- numbers(of("Vehicle", "mlbench")[, 1:18])
  shuttle <- numbers(of("Shuttle", "mlbench")[, c(1, 3, 7, 8, 9)])
  tables <- c(tables, list(
    satellite8 = scale(satellite[1:2000, 1:8]), satellite_centre = some(satellite[, 17:20], 1500), satellite12 = scale(satellite[3001:4500, 13:24]),
    letter16 = scale(letters[1:2000, ]), letter16_later = scale(letters[5001:6500, ]), letter8 = scale(letters[2001:3500, 1:8]),
    letter_edges = scale(letters[1:1500, 9:16]),
    glass = scale(numbers(of("Glass", "mlbench")[, 1:7])), pima_all = scale(numbers(of("PimaIndiansDiabetes2", "mlbench")[, 1:8])),
    vowel = vowel, vehicle6 = scale(vehicle[, 1:6]), vehicle18 = scale(vehicle), vehicle_later = scale(vehicle[, 7:18]), shuttle = some(scale(shuttle), 1500),
    ionosphere = numbers(of("Ionosphere", "mlbench")[, c(3, 5, 7, 9, 11, 13)]), sonar = scale(numbers(of("Sonar", "mlbench")[, seq(1, 60, 6)])),
    normals = made(function() mlbench::mlbench.2dnormals(500, 5)), smiley = made(function() mlbench::mlbench.smiley(500)),
    cassini = made(function() mlbench::mlbench.cassini(500)), spirals = made(function() mlbench::mlbench.spirals(400, 1.5, 0.05)),
    shapes = made(function() mlbench::mlbench.shapes(500)), ringnorm = made(function() mlbench::mlbench.ringnorm(500, 8)),
    threenorm = made(function() mlbench::mlbench.threenorm(500, 6)), waveform = made(function() mlbench::mlbench.waveform(600))[, 5:16],
    simplex = made(function() mlbench::mlbench.simplex(600, 4, 2, 0.6))))
}
for (name in names(tables)) {
  path <- file.path(folder, paste0(name, ".csv"))
  if (!file.exists(path)) write.table(format(numbers(tables[[name]]), digits = 17, trim = TRUE), path, sep = ",", quote = FALSE, row.names = FALSE, col.names = FALSE)
}
tight <- emControl(tol = c(1e-9, 1e-9), itmax = c(4000, 2000))
value <- function(x) if (length(x) != 1 || !is.finite(x)) "null" else sprintf("%.17g", x)
for (path in sort(list.files(folder, "[.]csv$", full.names = TRUE))) {
  result <- sub("csv$", "json", path)
  if (file.exists(result)) next
  rows <- as.matrix(read.csv(path, header = FALSE)); rows <- unname(rows)
  tree <- hc(rows, modelName = "VVV", use = "SVD")
  cells <- labels <- c()
  for (k in 2:5) {
    classes <- as.vector(hclass(tree, k)); z <- unmap(classes, groups = 1:k)
    labels <- c(labels, sprintf('"%d": [%s]', k, paste(classes, collapse = ",")))
    for (model in c("EVE", "VVE")) {
      began <- proc.time()[[3]]
      ends <- lapply(list(emControl(), tight), function(control) tryCatch(me(rows, modelName = model, z = z, control = control)$loglik, error = function(e) NA))
      cells <- c(cells, sprintf('{"model": "%s", "G": %d, "default": %s, "tight": %s, "seconds": %.3f}', model, k, value(ends[[1]]), value(ends[[2]]), proc.time()[[3]] - began))
    }
  }
  writeLines(sprintf('{"labels": {%s}, "fits": [%s]}', paste(labels, collapse = ", "), paste(cells, collapse = ", ")), result)
  cat(basename(path), dim(rows), "\n")
}
