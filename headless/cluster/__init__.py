"""Runs a task with several workers, on this machine or on a cluster of Ray's.

Ray starts the workers, places them and says which are gone. Not its Data library: that repeats a
block whose worker died without end, or gives up all of them, and does not name the file.
"""
