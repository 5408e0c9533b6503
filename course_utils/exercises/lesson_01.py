"""What lesson 1 asks."""

EXERCISES = ()
