"""Charts, contact sheets and HTML pages. Imports `data` and the floors below it."""
