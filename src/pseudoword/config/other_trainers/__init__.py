"""What other trainers call settings and values, and what their files of settings say here."""
