//! The kernel's types → the arguments and results of its functions and tracepoints.

use std::collections::BTreeSet;

use btfparse::{TypeInformation, TypeVariant};

use crate::KernelTypes;

/// Most types between a parameter and what it is: typedefs, qualifiers.
const LAYERS: usize = 32;
/// Prefixes of functions that a tracepoint's arguments are passed to by name, after one that is the tracepoint's own.
const NAMED: [&str; 2] = ["__traceiter_", "__probestub_"];
/// Prefix of the type of a tracepoint's functions, whose arguments have no names.
const UNNAMED: &str = "btf_trace_";

/// The kind of value that an argument or a result is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, also of an enumeration.
    Number {
        /// Size, bytes.
        size: u32,
        /// True if it can be negative.
        signed: bool,
    },
    /// A pointer.
    Pointer {
        /// The structure that it points to; `None` for anything else.
        structure: Option<String>,
    },
    /// Anything else, such as a structure, or nothing.
    Other,
}

/// An argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name; `None` if the kernel does not tell it.
    pub name: Option<String>,
    /// The value.
    pub value: Value,
}

/// The arguments and the result of a function of the kernel, or the arguments of a tracepoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The arguments, in order.
    pub parameters: Vec<Parameter>,
    /// The result.
    pub result: Value,
}

impl KernelTypes {
    /// Returns the signature of a function; `None` if the types have no function of that name.
    pub fn function(&self, name: &str) -> Option<Signature> {
        let types = self.all();
        let prototype = types.get().values().find_map(|kind| match kind {
            TypeVariant::Func(function) if function.name().as_deref() == Some(name) => {
                Some(*function.prototype_tid())
            }
            _ => None,
        })?;
        signature(types, prototype, 0)
    }

    /// Returns the signature of a tracepoint; `None` if the kernel has none of that name.
    pub fn tracepoint(&self, name: &str) -> Option<Signature> {
        let types = self.all();
        let unnamed = types.id_of(&format!("{UNNAMED}{name}"))?;
        let named = NAMED
            .iter()
            .find_map(|prefix| self.function(&format!("{prefix}{name}")));
        let Some(mut found) = named else {
            let TypeVariant::Typedef(pointer) = types.get().get(&unnamed)? else {
                return None;
            };
            let prototype = types.pointee_tid(*pointer.tid()).ok()?;
            return signature(types, prototype, 1);
        };
        if !found.parameters.is_empty() {
            found.parameters.remove(0);
        }
        Some(found)
    }

    /// Returns the names of all functions.
    pub fn functions(&self) -> BTreeSet<String> {
        let names = self.all().get().values().filter_map(|kind| match kind {
            TypeVariant::Func(function) => function.name().clone(),
            _ => None,
        });
        names.collect()
    }

    /// Returns the names of all tracepoints.
    pub fn tracepoints(&self) -> BTreeSet<String> {
        let names = self.all().get().values().filter_map(|kind| match kind {
            TypeVariant::Typedef(kind) => kind.name().as_deref()?.strip_prefix(UNNAMED),
            _ => None,
        });
        names.map(String::from).collect()
    }
}

/// Reads a prototype without the first `skipped` arguments.
fn signature(types: &TypeInformation, prototype: u32, skipped: usize) -> Option<Signature> {
    let TypeVariant::FuncProto(prototype) = types.get().get(&prototype)? else {
        return None;
    };
    let parameters = prototype.parameter_list().iter().skip(skipped);
    let parameters = parameters.map(|parameter| Parameter {
        name: parameter.name(),
        value: value(types, parameter.tid()),
    });
    Some(Signature {
        parameters: parameters.collect(),
        result: value(types, *prototype.return_tid()),
    })
}

fn value(types: &TypeInformation, id: u32) -> Value {
    match types.get().get(&bare(types, id)) {
        Some(TypeVariant::Int(number)) => Value::Number {
            size: u32::try_from(*number.size()).unwrap_or(0),
            signed: *number.signed(),
        },
        Some(TypeVariant::Enum(_)) => Value::Number {
            size: 4,
            signed: true,
        },
        Some(TypeVariant::Enum64(_)) => Value::Number {
            size: 8,
            signed: true,
        },
        Some(TypeVariant::Ptr(pointer)) => {
            let structure = match types.get().get(&bare(types, *pointer.tid())) {
                Some(TypeVariant::Struct(structure)) => structure.name().clone(),
                _ => None,
            };
            Value::Pointer { structure }
        }
        _ => Value::Other,
    }
}

/// Follows typedefs and qualifiers.
fn bare(types: &TypeInformation, mut id: u32) -> u32 {
    for _ in 0..LAYERS {
        id = match types.get().get(&id) {
            Some(TypeVariant::Typedef(kind)) => *kind.tid(),
            Some(TypeVariant::Const(kind)) => *kind.tid(),
            Some(TypeVariant::Volatile(kind)) => *kind.tid(),
            Some(TypeVariant::Restrict(kind)) => *kind.tid(),
            Some(TypeVariant::TypeTag(kind)) => *kind.tid(),
            _ => return id,
        };
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> Option<KernelTypes> {
        KernelTypes::read().ok()
    }

    #[test]
    fn a_tracepoint_has_named_arguments_without_its_own() {
        let Some(found) = types().and_then(|types| types.tracepoint("sched_process_exec")) else {
            return; // a kernel without types
        };
        let names = found.parameters.iter().map(|one| one.name.as_deref());
        let names: Vec<_> = names.flatten().collect();
        assert!(
            names.is_empty() || names[..2] == ["p", "old_pid"],
            "{names:?}"
        );
        assert_eq!(
            found.parameters[1].value,
            Value::Number {
                size: 4,
                signed: true
            }
        );
        let structure = Some("task_struct".to_owned());
        assert_eq!(found.parameters[0].value, Value::Pointer { structure });
    }

    #[test]
    fn a_function_has_the_types_that_the_kernel_tells() {
        let Some(found) = types().and_then(|types| types.function("tcp_sendmsg")) else {
            return;
        };
        let structure = Some("sock".to_owned());
        assert_eq!(found.parameters[0].value, Value::Pointer { structure });
        assert_eq!(found.parameters.len(), 3);
        assert_eq!(
            found.result,
            Value::Number {
                size: 4,
                signed: true
            }
        );
    }

    #[test]
    fn a_name_that_the_kernel_lacks_has_no_signature() {
        if let Some(types) = types() {
            assert_eq!(types.function("no_such_function"), None);
            assert_eq!(types.tracepoint("no_such_tracepoint"), None);
            assert!(types.tracepoints().contains("sched_switch"));
            assert!(types.functions().contains("tcp_sendmsg"));
        }
    }
}
