//! Benchmarks, one per line of the budget.
