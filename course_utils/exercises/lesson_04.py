"""What lesson 4 asks."""

EXERCISES = ()
