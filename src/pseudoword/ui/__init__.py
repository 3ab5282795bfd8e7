"""The page in the browser, and what stands behind it. Imports the API and the settings only."""
