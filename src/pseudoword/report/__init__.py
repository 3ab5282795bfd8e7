"""What people look at: charts, contact sheets and pages. Imports `data` and below."""
