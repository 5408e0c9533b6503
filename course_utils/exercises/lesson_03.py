"""What lesson 3 asks."""

EXERCISES = ()
