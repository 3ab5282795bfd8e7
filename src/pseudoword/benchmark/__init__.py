"""Words whose right pictures are known: tasks, scores and comparisons of settings.

Imports `runs` and the floors below it."""
