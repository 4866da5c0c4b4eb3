"""Plain Python behind the wiring.

Add here: logic that needs no orchestrator.
Not here: anything that imports Dagster.
"""
