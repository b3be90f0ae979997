"""Kernels compiled together, with small modules of Warp's own making in a cache of their own, on the CPU."""

from __future__ import annotations

import logging
import threading
import time

import pytest
import warp as wp

from grail_framework.engine.isaaclab import compilers, kernels
from grail_framework.engine.isaaclab.compilers import CompilerError, Compilers, how_many
from grail_framework.engine.isaaclab.engine import build
from grail_framework.logging.stages import listening, stage

from ..scenes import actions, assert_same_bits, g1_scene, snapshot, start


@pytest.fixture
def cache(tmp_path, monkeypatch):
    wp.init()
    monkeypatch.setattr(wp.config, "kernel_cache_dir", str(tmp_path))
    monkeypatch.setattr(wp.config, "log_level", wp.LOG_WARNING)
    return tmp_path


def adding(amount):
    """A kernel in a module of its own."""

    @wp.kernel(module="unique")
    def add(values: wp.array(dtype=wp.float32)):
        i = wp.tid()
        values[i] = values[i] + wp.static(float(amount))

    return add


def launch(kernel, values):
    wp.launch(kernel, dim=len(values), inputs=[values], device="cpu")


def test_a_rehearsal_runs_nothing_and_compiles_everything(cache):
    values = wp.zeros(3, dtype=wp.float32, device="cpu")
    first, second = adding(1.25), adding(2.5)
    told = []
    with listening(lambda *what: told.append(what)), kernels.compiled_together("cpu") as loader:
        stage("kernels")
        loader.rehearse(lambda: (launch(first, values), launch(second, values), launch(first, values)))
        assert values.numpy().tolist() == [0.0] * 3
        began = time.perf_counter()
        launch(first, values)
        launch(second, values)
        assert values.numpy().tolist() == [3.75] * 3
        assert time.perf_counter() - began < 0.2
    assert (loader.report.loaded, len(loader.report.compiled), loader.report.cache) == (2, 2, str(cache))
    assert {module.name for module in loader.report.compiled} == {first.module.name, second.module.name}
    assert told[:2] == [("kernels",), ("kernels", 0, 2)]
    assert len(list(cache.glob("wp_*/*.o"))) == 2

    # In another process the cache would hold them; here Warp has them loaded.
    with kernels.compiled_together("cpu") as again:
        again.rehearse(lambda: launch(first, values))
        launch(first, values)
    assert (again.report.loaded, again.report.compiled) == (1, [])
    assert values.numpy().tolist() == [5.0] * 3


def test_what_was_begun_is_waited_for(cache):
    kernel = adding(7.0)
    values = wp.zeros(2, dtype=wp.float32, device="cpu")
    with kernels.compiled_together("cpu") as loader:
        loader.begin([kernel.module])
        launch(kernel, values)  # waits
    assert values.numpy().tolist() == [7.0] * 2
    assert len(loader.report.compiled) == 1


def test_cuda_sources_are_compiled_by_children_too(cache):
    kernel = adding(0.125)
    with kernels.compiled_together("cpu") as loader:
        (cubin,) = wp.compile_aot_module(kernel.module, arch=90, use_ptx=False)  # NVRTC needs no GPU
    assert cubin.read_bytes().startswith(b"\x7fELF")
    assert [module.name for module in loader.report.compiled] == [kernel.module.name]


def test_without_child_processes_it_is_compiled_here(cache, monkeypatch, caplog):
    monkeypatch.setattr(compilers, "_PROGRAM", ("-c", "raise SystemExit(3)"))
    kernel = adding(0.5)
    values = wp.zeros(2, dtype=wp.float32, device="cpu")
    with caplog.at_level(logging.WARNING), kernels.compiled_together("cpu") as loader:
        loader.rehearse(lambda: launch(kernel, values))
        launch(kernel, values)
    assert values.numpy().tolist() == [0.5] * 2
    assert caplog.messages == [
        "kernels are compiled in this process, which takes longer: a compiler process ended (EOFError: Ran out of input)"
    ]


def test_a_rehearsal_that_fails_fails_nothing(cache, caplog):
    kernel = adding(3.0)
    values = wp.zeros(2, dtype=wp.float32, device="cpu")

    def work():
        launch(kernel, values)
        raise AttributeError("no result of a launch")

    with caplog.at_level(logging.INFO), kernels.compiled_together("cpu") as loader:
        loader.rehearse(work)
        launch(kernel, values)
    assert "the rehearsal failed: AttributeError: no result of a launch" in caplog.text
    assert values.numpy().tolist() == [3.0] * 2
    assert loader.report.loaded == 1


def test_loops_and_branches_on_the_device_are_gone_through_once(cache):
    condition = wp.ones(1, dtype=wp.int32, device="cpu")  # nothing would ever make it 0
    seen = []
    with kernels.compiled_together("cpu") as loader:
        loader.rehearse(
            lambda: (
                wp.capture_while(condition, lambda step: seen.append(step), step=1),
                wp.capture_if(condition, on_true=lambda: seen.append(2), on_false=lambda: seen.append(3)),
            )
        )
    assert seen == [1, 2, 3]


class Module:
    """What counts of one of Warp's."""

    def __init__(self, name):
        self.name = name
        self.options = {"block_dim": 256}


def test_a_question_about_a_kernel_has_nothing_compiled_for_itself_alone():
    """On a GPU; Warp would compile the module for the 256 threads of its options as well."""
    launched, not_launched, both = (Module(name) for name in "abc")
    keys = dict.fromkeys([(launched, "cuda:0", 64), (both, "cuda:0", 64), (both, "cuda:0", 256)])
    for module in (launched, not_launched, both):
        kernels._settle_block_dim(module, "cuda:0", keys)
    assert [module.options["block_dim"] for module in (launched, not_launched, both)] == [64, 256, 256]
    assert [(module.name, dim) for module, _, dim in keys] == [("a", 64), ("c", 64), ("c", 256), ("b", 256)]


def test_warp_is_left_as_it_was(cache):
    before = kernels.context.Module.load, kernels.build.build_cpu, kernels.build.build_cuda, wp.capture_while, wp.capture_if
    with pytest.raises(KeyboardInterrupt), kernels.compiled_together("cpu") as loader:
        loader.rehearse(raise_interrupt)
    after = kernels.context.Module.load, kernels.build.build_cpu, kernels.build.build_cuda, wp.capture_while, wp.capture_if
    assert after == before


def raise_interrupt():
    raise KeyboardInterrupt


def test_children_end_when_they_are_told_to(monkeypatch):
    monkeypatch.setattr(compilers, "_PROGRAM", ("-c", "import time; time.sleep(60)"))
    pool = Compilers(1)
    trouble = []

    def ask():
        try:
            pool.run("build_cpu", (), {})
        except CompilerError as error:
            trouble.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not pool._children:
        time.sleep(0.01)
    pool.close()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert len(trouble) == 1
    with pytest.raises(CompilerError):
        pool.run("build_cpu", (), {})


def test_processes_of_a_training_share_the_cores(monkeypatch):
    monkeypatch.setattr(compilers.os, "sched_getaffinity", lambda _: set(range(32)))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert how_many() == 16
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert how_many() == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "64")
    assert how_many() == 1


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/c/wp_newton._src.geometry.bvh_4a1c07f_p12_t34/wp_newton._src.geometry.bvh_4a1c07f.cu", "newton._src.geometry.bvh"),
        ("/c/wp_ccd_56348735_469138e_p1_t2/wp_ccd_56348735_469138e.cpu1a2b3c4d.o", "ccd_56348735"),
    ],
)
def test_module_names(path, name):
    assert kernels._module_of(path) == name


@pytest.mark.slow
def test_a_simulation_loads_each_module_once_and_is_none_the_worse(monkeypatch):
    launched = set()
    launch = wp.launch

    def noting(kernel, *arguments, **options):
        launched.add(kernel.module.name)
        return launch(kernel, *arguments, **options)

    monkeypatch.setattr(wp, "launch", noting)
    scene = g1_scene(2, ())
    engine = build(scene)
    names = {*kernels._NEWTON, *kernels._NEWTON_CPU}
    assert names <= launched  # nothing is compiled for nobody
    assert {name: kernels.context.user_modules[name].cpu_exec_id for name in names} == dict.fromkeys(names, 1)
    assert engine.kernels.loaded > len(names)
    rehearsed = stepped(engine)
    monkeypatch.setattr(kernels.KernelLoader, "rehearse", lambda self, work: None)
    assert_same_bits(stepped(build(scene)), rehearsed)


def stepped(engine):
    """What a few steps come to; the engine is closed."""
    start(engine)
    for targets in actions(engine, 3):
        engine.step(targets)
    after = snapshot(engine)
    engine.close()
    return after
