"""The one way in which the lab says that it cannot go on: a sentence with the fix."""


class LabError(Exception):
    """Something that the lab needs is not there, or did not happen in time."""
