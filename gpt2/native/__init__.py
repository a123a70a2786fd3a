"""The network once more, in C++ for the CPU: step.cpp, how it is compiled, and how Python calls it."""

from .build import CompilerError, compiled_library
from .network import NativeNetwork

__all__ = ["CompilerError", "NativeNetwork", "compiled_library"]
