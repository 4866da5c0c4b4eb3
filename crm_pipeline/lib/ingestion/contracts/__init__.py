"""The contracts of the canonical entities, a module per family.

Add here: a family. Not here: how a channel spells a column (its ``defs.yaml``).
"""
