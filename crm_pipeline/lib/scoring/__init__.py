"""Models in use: which version scores a day, and the scores it gives.

Add here: what joins feature frames, ``ml`` and the model folder.
Not here: maths (``ml``) and tables (dbt).
"""
