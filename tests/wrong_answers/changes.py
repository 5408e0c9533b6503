"""How wrong answers are made of right ones."""


def changed(source, *replacements):
    """The source with one thing after the other replaced; each must be in it."""
    for old, new in replacements:
        assert old in source, f"{old!r} is not in the source"
        source = source.replace(old, new)
    return source


def from_one(base, changes):
    """{mistake: (source, a part of the sentence)} from one right answer and {mistake: (replacements, the part)}."""
    return {mistake: (changed(base, *replacements), text) for mistake, (replacements, text) in changes.items()}
