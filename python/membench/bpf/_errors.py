"""The exceptions of `membench.bpf`: each names what can be done about it."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from membench.errors import CaptureUnavailableError, MembenchError, UsageError


class KernelError(CaptureUnavailableError):
    """The kernel refused a call.

    Attributes:
        errno: The kernel's error number; None if no call failed.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        command_hint: str | None = None,
        errno: int | None = None,
    ) -> None:
        """Keep the error number beside the message and the remedy."""
        super().__init__(message, hint, command_hint)
        self.errno = errno


class VerifierError(KernelError):
    """The verifier rejects a program.

    Attributes:
        log: The whole log. The message holds its end.
        processed_instructions: Instructions that the verifier looked at, of one million at most;
            None if it does not say.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        command_hint: str | None = None,
        errno: int | None = None,
        log: str = "",
        processed_instructions: int | None = None,
    ) -> None:
        """Keep the log beside the message."""
        super().__init__(message, hint, command_hint, errno)
        self.log = log
        self.processed_instructions = processed_instructions


class PermissionError(KernelError, builtins.PermissionError):  # noqa: A001 - it is one
    """This process may not do it.

    Attributes:
        missing: The capabilities that it lacks, such as `CAP_PERFMON`; none if a policy of the
            kernel forbids it, whatever the capabilities.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        command_hint: str | None = None,
        errno: int | None = None,
        missing: Sequence[str] = (),
    ) -> None:
        """Keep the missing capabilities beside the message."""
        super().__init__(message, hint, command_hint, errno)
        self.missing = tuple(missing)


class NotFound(KernelError, KeyError):
    """The object or the kernel has no such program, map, global, tracepoint or symbol."""


class AlreadyAttached(KernelError):
    """The program is attached there already, or the hook or path is taken."""


class Unsupported(KernelError):
    """This kernel cannot do it.

    Attributes:
        kernel: The first version of Linux that can; None if the version is not the reason.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        command_hint: str | None = None,
        errno: int | None = None,
        kernel: str | None = None,
    ) -> None:
        """Keep the version beside the message."""
        super().__init__(message, hint, command_hint, errno)
        self.kernel = kernel


class InvalidHandle(UsageError):
    """The object, map, ring or link is closed, or the object is not loaded yet."""


class CompilerMissing(CaptureUnavailableError):
    """`compile` finds no clang."""


class CompileError(MembenchError):
    """Clang rejects the source.

    Attributes:
        log: Everything that clang printed.
    """

    def __init__(self, message: str, log: str) -> None:
        """Keep what clang printed beside the message."""
        super().__init__(message)
        self.log = log
