"""Named trainings; each module's docstring gives the command, the hardware, the time and the expected score."""
