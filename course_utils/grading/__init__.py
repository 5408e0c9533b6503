"""Is an answer right? `notebook` checks while a student works, `classes` grades what a class has handed in."""
