"""LLVM IR to objects, in several threads at a time.

llvmlite lets one thread at a time into LLVM. LLVM itself asks only that threads share neither a context nor a target
machine: a ``Compiler`` has its own, and its long calls go past llvmlite's lock. Those of an llvmlite that is made
otherwise than expected go through it, and threads take turns.
"""

import ctypes

from rushlight.compiler.codegen.targets import host


class Compiler:
    """What one thread compiles with: a context and target machines by optimization level. It is never destroyed."""

    def __init__(self):
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.context = llvm.create_context()
        self.machines = {}
        # What belongs to LLVM is not to be taken down by the interpreter's end, in whatever order.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))

    def machine(self, level):
        found = self.machines.get(level)
        if found is None:
            import llvmlite.binding as llvm

            target = host()
            found = self.machines[level] = llvm.Target.from_triple(target.triple).create_target_machine(
                cpu=target.cpu, features=target.features, opt=level, reloc="pic", codemodel="small")
        return found

    def compile(self, text, level, codegen_level, readable=False):
        """The object of the module ``text``, or its assembly.

        ``level`` is the pass pipeline's: 0 for what runs once a call, 1 for kernels, 2 and 3 are LLVM's own.
        Vectorization is never LLVM's: kernels spell it out.
        """
        import llvmlite.binding as llvm

        machine = self.machine(codegen_level)
        module = llvm.parse_assembly(text, self.context)
        if level < 2:
            # Kernels spell out their vectors: this is all they need, in a tenth of the O1 pipeline's time.
            builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(1))
            passes = llvm.create_new_module_pass_manager()
            passes.add_sroa_pass()
            passes.add_instruction_combine_pass()
            passes.add_simplify_cfg_pass()
            if level:
                passes.add_loop_rotate_pass()
                passes.add_simplify_cfg_pass()
            _run(passes, module, builder)
        else:
            options = llvm.create_pipeline_tuning_options(speed_level=level)
            options.loop_vectorization = False
            options.slp_vectorization = False
            options.loop_unrolling = False
            options.loop_interleaving = False
            builder = llvm.create_pass_builder(machine, options)
            _run(builder.getModulePassManager(), module, builder)
        return machine.emit_assembly(module) if readable else _emit(machine, module)


def _past_lock(name):
    """llvmlite's function, if there is one below the function that takes the lock."""
    from llvmlite.binding import ffi

    return getattr(getattr(ffi.lib, name, None), "_cfn", None)


def concurrent():
    """Whether two threads can compile at the same time."""
    return bool(_past_lock("LLVMPY_RunNewModulePassManager") and _past_lock("LLVMPY_TargetMachineEmitToMemory"))


def _run(passes, module, builder):
    run = _past_lock("LLVMPY_RunNewModulePassManager")
    if run is None or len(run.argtypes or ()) != 3:
        passes.run(module, builder)
    else:
        run(passes, module, builder)


def _emit(machine, module):
    from llvmlite.binding import ffi

    emit = _past_lock("LLVMPY_TargetMachineEmitToMemory")
    if emit is None or len(emit.argtypes or ()) != 4:
        return machine.emit_object(module)
    with ffi.OutputString() as error:
        buffer = emit(machine, module, 1, error)
        if not buffer:
            raise RuntimeError(str(error))
    try:
        return ctypes.string_at(ffi.lib.LLVMPY_GetBufferStart(buffer), ffi.lib.LLVMPY_GetBufferSize(buffer))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)
