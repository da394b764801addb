"""The state of a model."""


class DynamicCache:
    """Of which a voice holds some."""
