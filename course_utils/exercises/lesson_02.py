"""What lesson 2 asks."""

EXERCISES = ()
