"""Code of the lab that runs in processes beside the kernel, and imports nothing else of it."""
