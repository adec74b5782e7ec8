"""LiteRT (TFLite) files: for phones, browsers and microcontrollers."""
