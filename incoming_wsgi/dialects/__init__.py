"""Wire protocols of the upload resource. A dialect translates; it owns no state, no file, no row."""
