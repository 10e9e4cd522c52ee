# Usage: Rscript reference.R FOLDER_OF_THIS_SCRIPT FOLDER_OF_INPUTS        (make_reference.py calls it)
#
# 1. pairs.csv -> pairs_expected.csv: F and p of anova(lm(y ~ z + x), lm(y ~ z + x + basis)) on the basis
#    that poolproof wrote to basis.csv, checked against splines::ns with the same knots; the robust score test
#    and its form for replicates, written out with lm, hatvalues and solve.
# 2. *.values.csv, *.pairs.csv -> gam_expected.csv: R2 of mgcv::gam(y ~ s(x, bs = "cr", k = 6, fx = TRUE)).
suppressPackageStartupMessages(library(mgcv))
folders <- commandArgs(trailingOnly = TRUE)
here <- folders[1]
options(digits = 17)

rss <- function(fit) sum(residuals(fit)^2)

# s'M^-1 s with u = what the line leaves, weights 1 / (1 - h)^2 of the linear fit (HC3, null leverage).
robust_score <- function(linear, bends) {
  q <- qr.resid(qr(model.matrix(linear)), bends)
  u <- residuals(linear)
  s <- crossprod(q, u)
  meat <- crossprod(q * (u / (1 - hatvalues(linear))))
  drop(crossprod(s, solve(meat, s)))
}

# Wald's test of the bends with the jackknife over donors, each left out of the whole fit in turn; as
# T2 (D - p) / (p (D - 1)). Donors are projected out like covariates.
donor_score <- function(spline, data) {
  of_bends <- function(fit) coef(fit)[grepl("^bends", names(coef(fit)))]
  gamma <- of_bends(spline)
  donors <- unique(data$donor)
  d <- length(donors); p <- length(gamma)
  change <- sapply(donors, function(one) gamma - of_bends(lm(formula(spline), data[data$donor != one, ])))
  if (anyNA(change)) return(c(f = NA, df = p, rest = d - p))  # a bend that one donor alone shows
  spread <- (d - 1) / d * tcrossprod(matrix(change, nrow = p))
  t2 <- drop(crossprod(gamma, solve(spread, gamma)))
  c(f = t2 * (d - p) / (p * (d - 1)), df = p, rest = d - p)
}

of_case <- function(data) {
  name <- data$case[1]
  at <- knots$knot[knots$case == name]
  covariates <- sub(".*, ", "", name)
  terms <- switch(covariates, alone = "1", donor = "donor", covariates)
  all_columns <- as.matrix(data[paste0("basis_", 1:5)])
  basis <- all_columns[, colSums(all_columns^2) > 0, drop = FALSE]
  data$bends <- basis[, -1, drop = FALSE]
  nothing <- lm(as.formula(paste("y ~", terms)), data)
  linear <- update(nothing, . ~ . + x)
  spline <- update(linear, . ~ . + bends)
  table <- anova(linear, spline)
  natural <- update(linear, . ~ . + splines::ns(x, knots = at[2:(length(at) - 1)], Boundary.knots = range(at)))
  stopifnot(all.equal(anova(linear, natural)$F, table$F, tolerance = 1e-8))
  if (covariates == "donor") {
    of <- donor_score(spline, data)
    statistic <- of[["f"]]
    p_value <- pf(of[["f"]], of[["df"]], of[["rest"]], lower.tail = FALSE)
  } else {
    statistic <- robust_score(linear, data$bends)
    p_value <- pchisq(statistic, ncol(data$bends), lower.tail = FALSE)
  }
  data.frame(case = name, n = nrow(data), r2_linear = 1 - rss(linear) / rss(nothing),
             r2_spline = 1 - rss(spline) / rss(nothing), f = table$F[2], f_p_value = table$`Pr(>F)`[2],
             robust = statistic, robust_p_value = p_value)
}

write_exact <- function(table, file) {
  numeric <- vapply(table, is.double, TRUE)
  table[numeric] <- lapply(table[numeric], function(v) sprintf("%.17g", v))
  write.csv(table, file.path(here, file), row.names = FALSE)
}

pairs <- cbind(read.csv(file.path(here, "pairs.csv")), read.csv(file.path(folders[2], "basis.csv")))
knots <- read.csv(file.path(folders[2], "knots.csv"))
cases <- split(pairs, factor(pairs$case, unique(pairs$case)))
write_exact(do.call(rbind, lapply(cases, of_case)), "pairs_expected.csv")

of_file <- function(file) {
  values <- read.csv(file, check.names = FALSE)
  wanted <- read.csv(sub("values", "pairs", file), colClasses = "character")
  r2 <- mapply(function(regulator, target) {
    data <- data.frame(x = values[[regulator]], y = values[[target]])
    fit <- gam(y ~ s(x, bs = "cr", k = 6, fx = TRUE), data = data)
    1 - sum(residuals(fit)^2) / sum((data$y - mean(data$y))^2)
  }, wanted$regulator, wanted$target)
  data.frame(file = sub(".values.csv", "", basename(file)), wanted, n = nrow(values), r2_spline = unname(r2))
}
files <- sort(list.files(folders[2], "values.csv", full.names = TRUE))
write_exact(do.call(rbind, lapply(files, of_file)), "gam_expected.csv")

cat(R.version.string, "; mgcv", as.character(packageVersion("mgcv")), "\n")
