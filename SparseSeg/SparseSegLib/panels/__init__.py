"""The panels of the window, one a step."""
