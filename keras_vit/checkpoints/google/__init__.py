"""The `.npz` files of Google: read and written."""
