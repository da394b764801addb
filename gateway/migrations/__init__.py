"""The steps by which Alembic takes a database from the tables of one version of Parley to those of the next, and back.

A step that was released never changes; a new one follows it. See schema.py for when they are taken.
"""
