"""What the process says when it ends, besides the exit codes that errors carry (`errors/`).

Belongs here: the numbers, each with its meaning; docs/errors.md lists them for scripts.
"""

# A check failed, or a comparison or a look found something that a person has to judge.
FOUND = 1
# A fault that trying again does not cure, one of ours among them.
PERMANENT = 3
# As shells say it of a process that Ctrl-C ended: 128 and the signal's number.
STOPPED = 130
