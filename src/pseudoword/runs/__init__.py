"""A run on disk: set up, logged, checkpointed, resumed.

Imports `training`, `report` and the floors below them."""
