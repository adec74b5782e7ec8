"""The plain ViTs of transformers: read and written."""
