"""Files of weights on this machine: what is here, and a folder of them to hand round. For doctor.py and prefetch.py."""
