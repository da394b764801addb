"""The messages that cross a process border. Unknown fields are ignored, an unknown type is a typed error."""
