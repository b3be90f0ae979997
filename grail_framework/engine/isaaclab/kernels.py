"""Warp's kernels at the start of a simulation: compiled many at once, before the launches that need them, and without adjoints.

Left alone, Warp compiles a module when a kernel of it is first launched, one after the other. Here modules that every simulation of
Newton needs are begun while the scene is built, and before the first physics step its launches are gone through once without being
run, which tells all the others. Warp itself finds out what is in its cache and keeps there what is compiled.
"""

from __future__ import annotations

import functools
import importlib
import logging
import re
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import warp as _warp
from warp._src import build as _build
from warp._src import context as _context

from grail_framework.engine.isaaclab.compilers import CompilerError, Compilers, how_many
from grail_framework.engine.isaaclab.kernel_process import CPU, CUDA
from grail_framework.logging.stages import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Key = tuple[Any, str, int]
    """Module, device, threads per block: what is compiled and loaded as one."""

_log: Final = logging.getLogger(__name__)
wp: Any = _warp  # what is replaced below is not declared to be
build: Any = _build
context: Any = _context

_BLOCK: Final = 256
"""Threads per block of a launch that names none, on a GPU."""
_NEWTON: Final = (
    "mujoco_warp._src.smooth",
    "newton._src.solvers.mujoco.kernels",
    "newton._src.utils.selection",
    "mujoco_warp._src.passive",
    "isaaclab_newton.assets.articulation.kernels",
    "mujoco_warp._src.forward",
    "mujoco_warp._src.solver",
    "mujoco_warp._src.io",
    "mujoco_warp._src.derivative",
    "newton._src.geometry.bvh",
    "warp._src.coloring",
    "mujoco_warp._src.support",
    "mujoco_warp._src.constraint",
)
"""Modules of which every simulation launches something and that are complete once imported, the longest to compile first."""
_NEWTON_OBJECTS: Final = ("isaaclab_newton.assets.kernels", "newton._src.geometry.inertia")
"""Those it needs for objects."""
_NEWTON_CPU: Final = ("newton._src.sim.articulation",)
"""Those it needs on the CPU, where forward kinematics has no kernel of its own."""
_LONGEST: Final = ("ccd_kernel", "narrowphase", "cholesky", "mujoco_warp._src.smooth", "linesearch")
"""Parts of names of modules that take longest to compile: they come first."""
_TOLD_EVERY: Final = 0.5  # [s]
_FILE: Final = re.compile(r"wp_(.+)_[0-9a-f]{7}\.")
"""How Warp names the files of a module: its name, the beginning of its hash."""


@attrs.frozen(kw_only=True)
class CompiledModule:
    """One run of a compiler."""

    name: str
    seconds: float


@attrs.define(kw_only=True)
class KernelReport:
    """What was compiled and loaded for a simulation."""

    cache: str
    """Folder of compiled kernels."""
    loaded: int = 0
    """Modules, those compiled included."""
    compiled: list[CompiledModule] = attrs.field(factory=list)


def without_adjoints() -> None:
    """Leave the backward pass out of kernels of modules that are imported from now on: nothing here is differentiated through them.

    In Newton and Isaac Lab it is most of what would be compiled, up to 6/7 of a module.
    """
    wp.config.enable_backward = False


@contextmanager
def compiled_together(device: str) -> Iterator[KernelLoader]:
    """Compile what is launched for the first time within the context in processes of their own, many at once where it is known before.

    Args:
        device: Warp's name of the device that is simulated on.
    """
    with ExitStack() as stack:
        loader = KernelLoader(device)
        stack.callback(loader.close)
        stack.enter_context(_replaced(context.Module, "load", loader.wrap_load(context.Module.load)))
        for function in (CUDA, CPU):
            stack.enter_context(_replaced(build, function, loader.wrap_build(function, getattr(build, function))))
        yield loader
        loader.log_report()


class KernelLoader:
    """Begins to load modules, notes which are wanted, and waits for them."""

    def __init__(self, device: str) -> None:
        wp.init()
        self._device = wp.get_device(device)
        self._owner = threading.get_ident()
        compilers = how_many()
        self._compilers = Compilers(compilers)
        # One more thread than compilers: Warp writes the source of the next file meanwhile.
        self._threads = ThreadPoolExecutor(compilers + 1, thread_name_prefix="kernels")
        self._begun: dict[Key, Future[None]] = {}
        self._wanted: dict[Key, None] | None = None
        self._warned = False
        self.report = KernelReport(cache=str(wp.config.kernel_cache_dir))

    def begin_newton(self, *, objects: bool) -> None:
        """Begin to load what every simulation of Newton launches."""
        names = [*_NEWTON, *(_NEWTON_OBJECTS if objects else ()), *(_NEWTON_CPU if self._device.is_cpu else ())]
        with _not_needed("beginning with those of Newton"):
            _settle_lazy_kernels()
            self.begin([_warp_module(name) for name in names])

    def begin(self, modules: Sequence[Any]) -> None:
        """Begin to load Warp's modules, for launches that do not choose their threads per block."""
        self._begin([(module, self._device.alias, 1 if self._device.is_cpu else _BLOCK) for module in modules])

    def rehearse(self, work: Callable[[], object]) -> None:
        """Go through what `work` launches without running it, and load all of it at once.

        `work` runs with kernels that do nothing: whatever it wrote must be restored, and it must not ask for results.
        """
        wanted: dict[Key, None] = {}
        asked: list[Any] = []

        def suggest(kernel: Any, device: Any = None) -> tuple[int, int]:
            """Take the place of Warp's question how many threads fill the device."""
            if wp.get_device(device).is_cuda:
                asked.append(kernel.module)
            return 1, 1

        self._wanted = wanted
        try:
            with ExitStack() as stack:
                stack.enter_context(_not_needed("the rehearsal"))
                for name, stand_in in (("capture_while", _once), ("capture_if", _both), ("get_suggested_block_size", suggest)):
                    stack.enter_context(_replaced(wp, name, stand_in))
                work()
        finally:
            self._wanted = None
        for module in asked:
            _settle_block_dim(module, self._device.alias, wanted)
        self._begin(sorted(wanted, key=lambda key: not any(part in key[0].name for part in _LONGEST)))
        self._await(list(self._begun.values()))

    def close(self) -> None:
        """Stop loading ahead; what is being compiled is given up."""
        self._compilers.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def log_report(self) -> None:
        """Log what was compiled."""
        report = self.report
        report.loaded = len(self._begun)
        longest = sorted(report.compiled, key=lambda module: -module.seconds)[:5]
        _log.info(
            "%d kernel modules, %d of them compiled%s; cache %s",
            report.loaded,
            len(report.compiled),
            "".join(f", {module.name} in {module.seconds:.0f} s" for module in longest),
            report.cache,
        )
        for module in report.compiled:
            _log.debug("compiled %s in %.1f s", module.name, module.seconds)

    # --- What takes the place of Warp's own functions ---

    def wrap_load(self, load: Callable[..., Any]) -> Callable[..., Any]:
        """Return what is called in place of `Module.load`: it waits for what was begun, or notes what is wanted."""

        @functools.wraps(load)
        def load_begun(module: Any, device: Any, block_dim: int | None = None, *rest: Any, **options: Any) -> Any:
            if threading.get_ident() != self._owner:
                return load(module, device, block_dim, *rest, **options)
            dim = module.options["block_dim"] if block_dim is None else block_dim
            key = (module, wp.get_device(device).alias, dim)
            if self._wanted is not None:
                self._wanted[key] = None
                return None  # `wp.launch` returns when there is nothing to launch
            begun = self._begun.get(key)
            if begun is None:
                self._begun[key] = _done()
            elif not begun.done():
                self._await([begun])
            if begun is not None and begun.done() and begun.exception() is not None:
                _log.debug("loading %s ahead failed: %s", module.name, begun.exception())
                self._begun[key] = _done()
                module.mark_modified()  # forget the failure: modules that are still being imported change under the hasher
            return load(module, device, block_dim, *rest, **options)

        return load_begun

    def wrap_build(self, function: str, compile_here: Callable[..., None]) -> Callable[..., None]:
        """Return what is called in place of a compiler: it runs in a process of its own, here if that fails."""

        @functools.wraps(compile_here)
        def compile_there(*arguments: Any, **options: Any) -> None:
            try:
                seconds = self._compilers.run(function, arguments, options)
            except CompilerError as error:
                if self._compilers.closed:
                    raise
                if not self._warned:
                    self._warned = True
                    _log.warning("kernels are compiled in this process, which takes longer: %s", error)
                began = time.perf_counter()
                compile_here(*arguments, **options)
                seconds = time.perf_counter() - began
            self.report.compiled.append(CompiledModule(name=_module_of(arguments[0]), seconds=seconds))

        return compile_there

    # --- Loading ahead ---

    def _begin(self, keys: Sequence[Key]) -> None:
        for key in keys:
            if key not in self._begun:
                self._begun[key] = self._threads.submit(self._load, key)

    def _load(self, key: Key) -> None:
        module, device, block_dim = key
        wp.load_module(module, device=device, block_dim=block_dim, max_workers=0)

    def _await(self, futures: Sequence[Future[None]]) -> None:
        """Wait for all of these, telling how far everything is that was begun."""
        waiting: set[Future[None]] = {future for future in futures if not future.done()}
        while waiting:
            done = sum(future.done() for future in self._begun.values())
            count(done, len(self._begun))
            _, waiting = wait(waiting, timeout=_TOLD_EVERY, return_when=FIRST_COMPLETED)


def _settle_lazy_kernels() -> None:
    """Make the kernels that Newton's solver adds to a module when it first needs them: each would have all of it compiled anew."""
    from newton._src.solvers.mujoco.kernels import create_convert_mjw_contacts_to_newton_kernel, repeat_array_kernel
    from newton.solvers import SolverMuJoCo as _SolverMuJoCo

    SolverMuJoCo: Any = _SolverMuJoCo  # noqa: N806  # its class attributes are not declared
    if SolverMuJoCo._convert_mjw_contacts_to_newton_kernel is None:
        SolverMuJoCo._convert_mjw_contacts_to_newton_kernel = create_convert_mjw_contacts_to_newton_kernel()
    kinds = (wp.float32, wp.quat, *(wp.types.vector(length=length, dtype=wp.float32) for length in (2, 3, 5, 6, 10)))
    for kind in kinds:
        wp.overload(repeat_array_kernel, [wp.array(dtype=kind), wp.int32, wp.array(dtype=kind)])


def _settle_block_dim(module: Any, device: str, wanted: dict[Key, None]) -> None:
    """Let a question about a module be answered by the variant that is launched, if there is one: it would have another compiled.

    Warp answers for the module's own number of threads per block. MuJoCo Warp asks so for its largest kernels, which it launches with
    fewer; registers and shared memory, on which the answer depends, are the same.
    """
    launched = {dim for known, at, dim in wanted if known is module and at == device}
    if len(launched) == 1:
        (module.options["block_dim"],) = launched
    elif not launched:
        wanted[module, device, module.options["block_dim"]] = None


def _warp_module(name: str) -> Any:
    """Return Warp's module of a Python module."""
    importlib.import_module(name)
    return context.user_modules[name]


@contextmanager
def _not_needed(what: str) -> Iterator[None]:
    """Log what goes wrong with loading ahead: each module is then compiled when it is launched."""
    try:
        yield
    except Exception as error:
        _log.info("kernels are compiled one by one, as %s failed: %s: %s", what, type(error).__name__, error)


def _module_of(path: str) -> str:
    """Return the name of a module from the path of a file of it."""
    name = Path(path).name
    found = _FILE.match(name)
    return found[1] if found else name


def _done() -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None)
    return future


def _once(_condition: object, while_body: Callable[..., object], stream: object = None, **arguments: Any) -> None:
    """Take the place of a loop on the device: its body once."""
    del stream
    while_body(**arguments)


def _both(_condition: object, on_true: Any = None, on_false: Any = None, stream: object = None, **arguments: Any) -> None:
    """Take the place of a branch on the device: both ways."""
    del stream
    for branch in (on_true, on_false):
        if callable(branch):
            branch(**arguments)


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
