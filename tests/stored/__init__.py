"""A state folder of the server that an earlier version left, and what that version answered.

`state` holds jobs of every kind: done, failed, cancelled half-way, and left as by a crash. The
answers are in `answers.json`; what the unfinished jobs give when nobody interrupts them is in
`uninterrupted.npz`. `asked` has the tasks, `__main__` wrote all of it:

    PYTHONPATH=tests python -m stored FOLDER

It is kept as it is: made anew by a later version, it would prove nothing about this one.
"""
