"""Code of the lab that runs in processes beside the kernel.

It imports nothing else of the lab, and is not imported as a part of it: the lab's widgets would
take a second of each start.
"""
