"""One command for the benchmarks of the field: their data sets, their measures, and the papers' figures beside ours."""
