"""Pure models: frames in, frames out.

Add here: maths of scores, their evaluation and their portable artifacts.
Not here: Dagster, SQL connections, clocks, file paths of an installation (``crm_pipeline``).
"""
