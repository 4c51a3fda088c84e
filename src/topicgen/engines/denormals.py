"""How a thread treats the smallest numbers of floating point."""

import ctypes
import platform
import sys

_MXCSR = 28  # byte of glibc's fenv_t on x86-64, where its SSE control word begins
_FLUSH = 0x8040  # results and inputs: flush-to-zero, denormals-are-zero (Intel SDM, volume 1, 10.2.3)


def flush_denormals() -> None:
    """Numbers below 1.2e-38 are zero for this thread from now on, for with them arithmetic is many times slower.

    Done for x86-64 with glibc; elsewhere nothing happens.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL("libm.so.6")
    environment = (ctypes.c_uint8 * 32)()
    if library.fegetenv(environment) == 0:
        control = ctypes.c_uint32.from_buffer(environment, _MXCSR)
        control.value |= _FLUSH
        library.fesetenv(environment)
