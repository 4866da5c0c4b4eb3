"""What may leave the private part of the data, and as what.

Add here: how a direct identifier is replaced, classes of columns.
Not here: what a person agreed to (``lib/consent``).
"""
