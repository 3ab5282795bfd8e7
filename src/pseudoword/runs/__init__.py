"""A run on disk: made ready, watched, saved, resumed.

Imports `training`, `report` and the floors below them."""
