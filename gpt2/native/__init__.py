"""The network once more, in C++ for the CPU: step.cpp, how it is compiled, and how Python calls it."""

from .build import CompilerError, find_compiler, load_library
from .network import NativeNetwork

__all__ = ["CompilerError", "NativeNetwork", "find_compiler", "load_library"]
