"""The steps of a unit of work over three servers, in their order."""

STEPS = (
    "begun",
    "written",
    "prepared 1",
    "prepared 2",
    "decided",
    "committed 1",
    "committed 2",
    "forgotten",
)
