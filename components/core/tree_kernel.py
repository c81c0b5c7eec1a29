"""Machine code for the loops of `tree_arithmetic.py`: compiled once, stored, and loaded without a compiler.

numba compiles in a process of its own, for the plainest processor of this architecture, so that every machine
gives the same bits; what is kept is an object file of a few KiB that needs nothing else. Loading it takes no
time and no memory to speak of (numba itself: half a second and 60 MiB), works on a read-only file system, and
an image that was built with `python -m tallystick.components.core.tree_kernel` does without numba and LLVM.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tallystick.components.core import machine_code, tree_arithmetic
from tallystick.components.core.errors import StorageError, TallystickError
from tallystick.components.core.files import sha256_of_bytes, write_bytes

_LLVM = "llvmlite.binding"
# What each function of `tree_arithmetic` takes: n a size, i an array of int64, f one of float64.
_ARGUMENTS = {"path_dependent": "nnnnfiiiiiffffffffffff", "interventional": "nnnnnffiiiifffiiiff"}
_BESIDE_THIS_MODULE = Path(__file__).parent / "compiled"
_COMPILE_TIMEOUT_S = 120
_PLAINEST = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_DISABLE_JIT": "0"}


@functools.cache
def kernel(name: str) -> Callable[..., None]:
    """A function of :mod:`tree_arithmetic` as machine code: sizes as integers, arrays as addresses.

    Raises
    ------
    TallystickError
        Nothing is compiled yet for this machine and numba is not here to do it.
    """
    return _loaded(_stored(name) or _compiled(name), name)


def object_name(name: str) -> str:
    """Name of a function's object file: changes with the loops' text, this recipe and the processor."""
    recipe = Path(tree_arithmetic.__file__).read_bytes() + Path(__file__).read_bytes()
    return f"{name}-{sys.platform}-{platform.machine()}-{sha256_of_bytes(recipe)[:16]}.o"


def _cache_folder() -> Path | None:
    try:
        return Path.home() / ".cache" / "tallystick"
    except RuntimeError:  # a user without a home, as in many containers
        return None


def _stored(name: str) -> bytes | None:
    for folder in (_BESIDE_THIS_MODULE, _cache_folder()):
        try:
            if folder:
                return (folder / object_name(name)).read_bytes()
        except OSError:
            continue
    return None


def _compiled(name: str) -> bytes:
    """Compile in a process of its own, and keep the result where that is allowed."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", __name__, folder]
        try:
            done = subprocess.run(
                command, env={**os.environ, **_PLAINEST}, capture_output=True, timeout=_COMPILE_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TallystickError(f"the kernel for reasons could not be compiled ({error})") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise TallystickError(f"the kernel for reasons could not be compiled; is numba installed? ({said[0]})")
        content = (Path(folder) / object_name(name)).read_bytes()
    cache = _cache_folder()
    try:
        if cache:
            write_bytes(cache / object_name(name), content)
    except StorageError:
        return content  # a read-only home: compiled again at the next start
    return content


def _loaded(content: bytes, name: str) -> Callable[..., None]:
    kinds = [ctypes.c_int64 if kind == "n" else ctypes.c_void_p for kind in _ARGUMENTS[name]]
    prototype = ctypes.CFUNCTYPE(None, *kinds)
    held = machine_code.load(content, symbol(name)) if sys.platform == "linux" else None
    if held:
        function: Any = prototype(held.address)
        function.code = held  # lives as long as the function
    else:
        engine = _llvm_engine(content)
        function = prototype(engine.get_function_address(symbol(name)))
        function.code = engine
    return function  # type: ignore[no-any-return]


def symbol(name: str) -> str:
    """Name of a function in its object file."""
    return f"tallystick_{name}"


def _llvm_engine(content: bytes) -> Any:
    """LLVM's own loader, for processors and systems that `machine_code` does not know."""
    llvm: Any = importlib.import_module(_LLVM)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(content))
    engine.finalize_object()
    return engine


def write_objects(folder: Path) -> list[Path]:
    """Compile and write the object files into `folder`. Needs numba, and `_PLAINEST` in the environment."""
    llvm: Any = importlib.import_module(_LLVM)
    numba: Any = importlib.import_module("numba")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    pointer = numba.types.CPointer
    types = {"n": numba.int64, "i": pointer(numba.int64), "f": pointer(numba.float64)}
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(cpu="generic", features="", opt=3, reloc="pic", codemodel="small")
    written = []
    for name, kinds in _ARGUMENTS.items():
        signature = numba.void(*(types[kind] for kind in kinds))
        options = {"nopython": True, "error_model": "numpy", "_nrt": False}
        compiled = numba.cfunc(signature, **options)(getattr(tree_arithmetic, name))
        module = llvm.parse_assembly(compiled.inspect_llvm().replace(compiled.native_name, symbol(name)))
        path = folder / object_name(name)
        write_bytes(path, machine.emit_object(module))
        written.append(path)
    return written


def main() -> None:
    """Compile into the folder given, or beside this module, as an image's build does."""
    if any(os.environ.get(name) != value for name, value in _PLAINEST.items()):
        command = [sys.executable, "-m", __spec__.name, *sys.argv[1:]]
        sys.exit(subprocess.run(command, env={**os.environ, **_PLAINEST}, check=False).returncode)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else _BESIDE_THIS_MODULE
    sys.stdout.writelines(f"{path}\n" for path in write_objects(folder))


if __name__ == "__main__":
    main()
