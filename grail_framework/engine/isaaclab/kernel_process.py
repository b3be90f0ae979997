"""The child process that runs Warp's compilers: `python -m grail_framework.engine.isaaclab.kernel_process`.

Jobs come as pickles on stdin: the name of a function of Warp's build module, its arguments, its keyword arguments. What it reads and
writes are files. The answer is a pickle on stdout: None, or what went wrong in words. The end of stdin is the end of the process.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

import warp as wp
from warp._src import build, context

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CUDA: Final = "build_cuda"
CPU: Final = "build_cpu"


def main() -> None:
    """Do the jobs that come, one after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a compiler prints must not get among the answers
        wp.config.log_level = wp.LOG_ERROR
        wp.init()
        while True:
            try:
                function, arguments, options = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            pickle.dump(compile_file(function, arguments, options), answers)
            answers.flush()


def compile_file(function: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> str | None:
    """Compile one file; return what went wrong."""
    # A precompiled header can be used by the process that made it alone.
    headers = {CUDA: context.runtime.get_nvrtc_pch_dir, CPU: context.runtime.get_clang_pch_dir}[function]
    own = {"pch_dir": headers()} if options.get("pch_dir") is not None else {}
    try:
        getattr(build, function)(*arguments, **{**options, **own})
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    main()
