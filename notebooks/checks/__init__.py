"""Checks for the exercises, one module a notebook.

>>> from checks import top_k_and_top_p as check
>>> check.top_p(my_top_p)
"""
