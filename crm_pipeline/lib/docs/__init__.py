"""Documentation that is generated, so that it cannot lie.

Add here: a page that can be computed from the code, its tests or a table.
Not here: prose (``docs/``).
"""
