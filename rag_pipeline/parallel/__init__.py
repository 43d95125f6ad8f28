"""Heavy pure functions over many items, in processes that may hang, crash or run out of memory.

Belongs here: the engines that map a function over items, and what a failed item becomes.
Does not belong here: the functions themselves. Import the submodules directly.
"""
