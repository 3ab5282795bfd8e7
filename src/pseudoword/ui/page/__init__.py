"""What is seen in the browser: controls, their events, and the server that gives them out."""
