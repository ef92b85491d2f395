//! The registers of a probe's context: offsets in `struct pt_regs`, which are part of the system's interface.
//! <https://github.com/torvalds/linux/blob/v6.12/arch/x86/include/uapi/asm/ptrace.h>

/// Registers that hold a function's arguments, in order.
#[cfg(target_arch = "x86_64")]
const ARGUMENTS: [&str; 6] = ["di", "si", "dx", "cx", "r8", "r9"];
#[cfg(target_arch = "x86_64")]
const RESULT: &str = "ax";
#[cfg(target_arch = "x86_64")]
const ALL: [&str; 21] = [
    "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di",
    "orig_ax", "ip", "cs", "flags", "sp", "ss",
];

/// Registers that hold a function's arguments, in order.
#[cfg(not(target_arch = "x86_64"))]
const ARGUMENTS: [&str; 8] = ["x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"];
#[cfg(not(target_arch = "x86_64"))]
const RESULT: &str = "x0";
#[cfg(not(target_arch = "x86_64"))]
const ALL: [&str; 33] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
    "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27",
    "x28", "x29", "x30", "sp", "pc",
];

/// Returns the offset of a function's argument; `None` if it is not in a register.
pub(crate) fn argument(index: usize) -> Option<u32> {
    offset(ARGUMENTS.get(index)?)
}

/// Returns the offset of a function's result.
pub(crate) fn result() -> Option<u32> {
    offset(RESULT)
}

/// Returns the offset of a register by any of its names, such as `rax`, `eax` and `al`.
pub(crate) fn named(name: &str) -> Option<u32> {
    offset(name).or_else(|| offset(&whole(name)))
}

fn offset(name: &str) -> Option<u32> {
    let index = ALL.iter().position(|one| *one == name)?;
    u32::try_from(8 * index).ok()
}

/// Returns the kernel's name of the register that a part belongs to.
fn whole(name: &str) -> String {
    if cfg!(not(target_arch = "x86_64")) {
        return name.replacen('w', "x", 1);
    }
    if let Some(number) = name.strip_prefix('r')
        && let number = number.trim_end_matches(['d', 'w', 'b'])
        && number.parse::<u32>().is_ok()
    {
        return format!("r{number}");
    }
    if let Some(rest) = name.strip_prefix(['r', 'e']) {
        return rest.into();
    }
    match name.strip_suffix(['l', 'h']) {
        Some(first) if first.len() == 1 => format!("{first}x"),
        Some(first) => first.into(),
        None => name.into(),
    }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;

    #[test]
    fn a_register_has_one_place_under_each_of_its_names() {
        for (names, expected) in [
            (&["ax", "rax", "eax", "al", "ah"][..], 80),
            (&["di", "rdi", "edi", "dil"], 112),
            (&["bp", "rbp", "ebp", "bpl"], 32),
            (&["r8", "r8d", "r8w", "r8b"], 72),
            (&["r15", "r15d"], 0),
            (&["sp", "rsp"], 152),
        ] {
            for name in names {
                assert_eq!(named(name), Some(expected), "{name}");
            }
        }
        assert_eq!(named("xmm0"), None);
        assert_eq!(
            (argument(0), argument(3), argument(6)),
            (Some(112), Some(88), None)
        );
        assert_eq!(result(), Some(80));
    }
}
