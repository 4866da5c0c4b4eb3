"""Who is written to, and who is not and why.

Add here: journeys, decisions, batches.
Not here: audiences (dbt ``activation``), consent (``lib/consent``).
"""
