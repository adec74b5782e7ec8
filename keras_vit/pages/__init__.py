"""Pages that people read in a browser: one file each, with everything inside."""
