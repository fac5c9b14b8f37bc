"""Wire protocols of the upload resource. A dialect translates; it owns no state."""
