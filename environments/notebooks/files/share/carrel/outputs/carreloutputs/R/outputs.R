# Save tables so that the airlock can compare them; the same as carrel_outputs for Python.
#
#   library(carreloutputs)
#   table <- carrel_count(patients, rows = "region", columns = "sex", hide_below = 10, round_to = 5)
#   carrel_save(table, "by_region.csv", dataset = "admissions", version = "2026-01")

# Return how many rows of `data` there are for each category. `rows` names one or more columns,
# `columns` one more. Counts from 1 to below `hide_below` are hidden; `round_to` is 5 or "midpoint6".
carrel_count <- function(data, rows, columns = NULL, hide_below = NULL, round_to = NULL) {
  counts <- table(data[c(rows, columns)])
  shown <- .rounded(counts, round_to)
  if (!is.null(hide_below)) shown[shown > 0 & shown < hide_below] <- NA
  attr(shown, "carrel") <- list(
    statistic = "count", rounding = if (is.null(round_to)) "none" else as.character(round_to),
    columns = columns
  )
  shown
}

# Write a table (of `carrel_count`, `table` or `xtabs`) as CSV into the outbox, and beside it what it
# describes. Of several variables the last one goes across. Returns the path.
carrel_save <- function(table, name, dataset, version, population = "", within = character(),
                        statistic = NULL, rounding = NULL, folder = "/outbox") {
  if (!grepl("\\.csv$", name)) stop("the name of a table must end in .csv")
  variables <- dimnames(table)
  if (is.null(names(variables)) || any(names(variables) == "")) {
    stop("a variable of this table has no name: set names(dimnames(table))")
  }
  made <- attr(table, "carrel")
  is_wide <- length(variables) > 1 && (is.null(made) || !is.null(made$columns))
  across <- if (is_wide) length(variables) else 0
  down <- setdiff(seq_along(variables), across)
  meta <- list(
    carrel = unbox(1L), dataset = unbox(dataset), dataset_version = unbox(as.character(version)),
    population = unbox(population), within = as.character(within),
    rows = lapply(down, function(at) .variable(variables, at)),
    columns = if (is_wide) list(.variable(variables, across)) else list(),
    statistic = unbox(.first(statistic, made$statistic, "other")),
    rounding = unbox(.first(rounding, made$rounding, "none")),
    contributions = list(), degrees_of_freedom = NULL
  )
  path <- file.path(folder, name)
  dir.create(dirname(path), recursive = TRUE, showWarnings = FALSE)
  .write(paste0(path, ".carrel.json"), function(to) writeLines(toJSON(meta, null = "null"), to))
  .write(path, function(to) {
    write.csv(.flat(table, down, is_wide), to, row.names = FALSE, na = "[redacted]", quote = TRUE)
  })
  invisible(path)
}

.variable <- function(variables, at) {
  list(
    name = unbox(names(variables)[at]),
    categories = as.character(setdiff(variables[[at]], c("Total", "Sum")))
  )
}

.first <- function(...) Filter(Negate(is.null), list(...))[[1]]

.rounded <- function(counts, round_to) {
  if (is.null(round_to)) return(counts)
  if (identical(round_to, "midpoint6")) {
    counts[] <- ifelse(counts == 0, 0, 6 * ceiling(counts / 6) - 3)
    return(counts)
  }
  if (round_to == 5) return(5 * ((counts + 2) %/% 5))
  stop("round_to must be 5 or \"midpoint6\"")
}

.flat <- function(table, down, is_wide) {
  variables <- dimnames(table)
  labels <- expand.grid(variables[down], KEEP.OUT.ATTRS = FALSE, stringsAsFactors = FALSE)
  if (!is_wide) return(cbind(labels, n = as.vector(table)))
  across <- variables[[length(variables)]]
  values <- matrix(as.vector(table), ncol = length(across), dimnames = list(NULL, across))
  cbind(labels, as.data.frame(values, check.names = FALSE, optional = TRUE))
}

# Write the whole file or none of it.
.write <- function(path, fill) {
  beside <- file.path(dirname(path), paste0(".", basename(path), ".", Sys.getpid()))
  fill(beside)
  if (!file.rename(beside, path)) stop("cannot write ", path)
}
