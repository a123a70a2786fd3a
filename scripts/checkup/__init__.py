"""What scripts/doctor.py looks at. Nothing here needs a package that may be missing, before a check says so."""
