//! Kernel structure members on the way from a system call to its socket: indices into the global `MEMBERS`.

members! {
    /// Pointer to a task's open files.
    TASK_FILES = "task_struct", "files";
    /// Pointer from open files to their table.
    FILES_TABLE = "files_struct", "fdt";
    /// Pointer to a table's array of pointers to files.
    TABLE_FILES = "fdtable", "fd";
    /// Pointer from a socket's file to its `struct socket`.
    FILE_SOCKET = "file", "private_data";
    /// Pointer from a `struct socket` to its `struct sock`.
    SOCKET_SOCK = "socket", "sk";
    /// First argument of a system call.
    REGISTER_FIRST = "pt_regs", "di";
    /// Fourth argument of a system call.
    REGISTER_FOURTH = "pt_regs", "r10";
    /// First argument of a 32-bit task's call. Its fourth is in
    /// [`REGISTER_SECOND`](crate::field::REGISTER_SECOND).
    REGISTER_FIRST_COMPAT = "pt_regs", "bx";
    /// Code segment, which tells 32-bit tasks.
    REGISTER_SEGMENT = "pt_regs", "cs";
}
