"""SavedModel folders: for TensorFlow Serving, and the way to LiteRT."""
