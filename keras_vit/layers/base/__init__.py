"""What the layers of this package share."""
