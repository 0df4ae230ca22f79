"""The configuration file: typed, read once, refused with the line and the option that are wrong."""
