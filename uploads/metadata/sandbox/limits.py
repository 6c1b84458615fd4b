"""What reading one file may cost, and what its parser's process may do."""

MEMORY = 512 * 2**20  # bytes of address space
CPU = 10  # seconds of processor time
START = 30.0  # seconds in which a new parser process must be ready
WALL = 15.0  # seconds from the question to the answer
LONGEST_ANSWER = 2**18  # bytes
OPEN_FILES = 32
NOBODY = 65534  # the user id to which a child of root changes
READY = b"ready\n"  # what it sends once its extractors are imported
OUT_OF_MEMORY = 77  # exit status of a child that reached MEMORY
