"""The plain ViTs of KerasHub: read."""
