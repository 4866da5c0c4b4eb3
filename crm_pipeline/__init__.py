"""Customer data platform for e-commerce and new retail, wired with Dagster."""
