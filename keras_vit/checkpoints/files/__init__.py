"""Files that hold arrays: read one array at a time, and written."""
