"""Everything Dagster loads by itself, one folder per domain."""
