"""The plain ViTs of timm: read and written."""
