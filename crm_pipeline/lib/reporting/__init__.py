"""What people read about a build.

Add here: texts and reports made from published tables.
Not here: figures of their own (marts and metrics have them).
"""
