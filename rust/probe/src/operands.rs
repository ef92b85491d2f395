//! The name of an operand → its place in a program's context, its size and its sign.

use membench_bpf::{Argument, Place, Signature, Value};
use membench_common::probe::{Settings, operand, socket};

use crate::{Error, Result, hook::Spec, registers, tracefs::Field};

/// Structures that begin with a `struct sock`.
const SOCKS: [&str; 5] = [
    "sock",
    "inet_sock",
    "inet_connection_sock",
    "tcp_sock",
    "udp_sock",
];
/// Types that can be appended to an operand's name: `ret:i32`.
const TYPES: [(&str, u32, bool); 8] = [
    ("i8", 1, true),
    ("i16", 2, true),
    ("i32", 4, true),
    ("i64", 8, true),
    ("u8", 1, false),
    ("u16", 2, false),
    ("u32", 4, false),
    ("u64", 8, false),
];

/// The operands that a hook's context holds.
pub(crate) enum Operands {
    /// Fields of a tracepoint's record.
    Fields(Vec<Field>),
    /// Arguments as words, followed by the result if the hook is a return.
    Arguments {
        signature: Option<Signature>,
        returns: bool,
    },
    /// Registers: those of the arguments, or that of the result if the hook is a return.
    Registers {
        signature: Option<Signature>,
        returns: bool,
    },
    /// Arguments that the program's author chose.
    Usdt(Vec<Option<Argument>>),
    /// None.
    Nothing,
}

/// An operand in a context.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Operand {
    origin: u32,
    place: u32,
    addend: i64,
    size: u32,
    signed: bool,
}

impl Operands {
    /// Sets the programs to count a histogram of an operand.
    pub(crate) fn choose(&self, hook: &Spec, wanted: &str, settings: &mut Settings) -> Result<()> {
        let (name, typed) = match wanted.split_once(':') {
            Some((name, kind)) => (name, TYPES.iter().find(|(known, ..)| *known == kind)),
            None => (wanted, None),
        };
        let is_untyped = wanted.contains(':') && typed.is_none();
        let found = self.find(name).filter(|_| !is_untyped);
        let mut found = found.ok_or_else(|| Error::NoOperand {
            hook: hook.to_string(),
            operand: wanted.into(),
            known: self.known(),
        })?;
        if let Some((_, size, signed)) = typed {
            (found.size, found.signed) = (*size, *signed);
        }
        settings.operand = found.origin;
        settings.place = found.place;
        settings.addend = found.addend;
        settings.size = found.size;
        settings.signed = u32::from(found.signed);
        Ok(())
    }

    /// Sets the programs to look at the ports of the socket that the hook passes; returns false if it passes none.
    pub(crate) fn choose_socket(&self, settings: &mut Settings) -> bool {
        let Some((way, place, remote)) = self.socket() else {
            return false;
        };
        settings.socket = way;
        settings.socket_place = place;
        settings.remote_place = remote;
        true
    }

    /// Returns true if the hook passes a socket only where the call begins.
    pub(crate) fn is_result_only(&self) -> bool {
        matches!(self, Self::Registers { returns: true, .. })
    }

    fn find(&self, name: &str) -> Option<Operand> {
        let index = name
            .strip_prefix("arg")
            .and_then(|digits| digits.parse::<usize>().ok());
        match self {
            Self::Fields(fields) => {
                let named = fields.iter().find(|field| field.name == name);
                let field = match (named, index) {
                    (Some(field), _) => Some(field),
                    (None, Some(index)) => fields.iter().filter(|one| !one.is_common).nth(index),
                    (None, None) => None,
                };
                let field = field.filter(|field| field.is_number)?;
                Some(Operand {
                    origin: operand::CONTEXT,
                    place: field.offset,
                    addend: 0,
                    size: field.size,
                    signed: field.signed,
                })
            }
            Self::Arguments { signature, returns } => {
                let (index, value) = match (name, signature) {
                    ("ret", Some(signature)) if *returns => {
                        (signature.parameters.len(), &signature.result)
                    }
                    (_, Some(signature)) => {
                        let index = index.or_else(|| position(signature, name))?;
                        (index, &signature.parameters.get(index)?.value)
                    }
                    (_, None) => (
                        index?,
                        &Value::Number {
                            size: 8,
                            signed: true,
                        },
                    ),
                };
                in_context(u32::try_from(index).ok()?, value)
            }
            Self::Registers {
                signature,
                returns: true,
            } => {
                let value = signature.as_ref().map(|signature| &signature.result);
                let word = Value::Number {
                    size: 8,
                    signed: true,
                };
                let value = value.unwrap_or(&word);
                (name == "ret").then(|| in_context(registers::result()?, value))?
            }
            Self::Registers {
                signature,
                returns: false,
            } => {
                let word = Value::Number {
                    size: 8,
                    signed: true,
                };
                let (index, value) = match signature {
                    Some(signature) => {
                        let index = index.or_else(|| position(signature, name))?;
                        (index, &signature.parameters.get(index)?.value)
                    }
                    None => (index?, &word),
                };
                in_context(registers::argument(index)?, value)
            }
            Self::Usdt(arguments) => from_note(arguments.get(index?)?.as_ref()?),
            Self::Nothing => None,
        }
    }

    /// Returns the names of the operands that are numbers.
    fn known(&self) -> Vec<String> {
        let numbered = |count: usize| (0..count).map(|index| format!("arg{index}")).collect();
        let names: Vec<String> = match self {
            Self::Fields(fields) => {
                let own = fields.iter().filter(|field| !field.is_common);
                own.map(|field| field.name.clone()).collect()
            }
            Self::Arguments {
                signature: Some(signature),
                returns,
            } => named(signature, *returns),
            Self::Registers { returns: true, .. } => vec!["ret".into()],
            Self::Registers {
                signature: Some(signature),
                ..
            } => named(signature, false),
            Self::Arguments { .. } | Self::Registers { .. } => numbered(6),
            Self::Usdt(arguments) => numbered(arguments.len()),
            Self::Nothing => Vec::new(),
        };
        names
            .into_iter()
            .filter(|name| self.find(name).is_some())
            .collect()
    }

    fn socket(&self) -> Option<(u32, u32, u32)> {
        match self {
            Self::Fields(fields) => {
                let place = |name: &str, size: u32| {
                    let named = fields.iter().find(|field| field.name == name);
                    named
                        .filter(|field| field.size == size)
                        .map(|field| field.offset)
                };
                if let (Some(local), Some(remote)) = (place("sport", 2), place("dport", 2)) {
                    return Some((socket::FIELDS, local, remote));
                }
                let sock = place("skaddr", 8).or_else(|| place("sk", 8))?;
                Some((socket::SOCK, sock, 0))
            }
            Self::Arguments {
                signature: Some(signature),
                ..
            } => {
                let (way, index) = socket_argument(signature)?;
                Some((way, u32::try_from(index).ok()?, 0))
            }
            Self::Registers {
                signature: Some(signature),
                ..
            } => {
                let (way, index) = socket_argument(signature)?;
                Some((way, registers::argument(index)?, 0))
            }
            _ => None,
        }
    }
}

fn position(signature: &Signature, name: &str) -> Option<usize> {
    let mut parameters = signature.parameters.iter();
    parameters.position(|one| one.name.as_deref() == Some(name))
}

fn named(signature: &Signature, returns: bool) -> Vec<String> {
    let parameters = signature.parameters.iter().enumerate();
    let names = parameters.map(|(index, one)| match &one.name {
        Some(name) => name.clone(),
        None => format!("arg{index}"),
    });
    names.chain(returns.then(|| "ret".into())).collect()
}

fn socket_argument(signature: &Signature) -> Option<(u32, usize)> {
    let mut parameters = signature.parameters.iter().enumerate();
    parameters.find_map(|(index, one)| match &one.value {
        Value::Pointer {
            structure: Some(structure),
        } if SOCKS.contains(&structure.as_str()) => Some((socket::SOCK, index)),
        Value::Pointer {
            structure: Some(structure),
        } if structure == "socket" => Some((socket::SOCKET, index)),
        _ => None,
    })
}

/// Returns an operand that is in the context itself; `None` if it is no number.
fn in_context(place: u32, value: &Value) -> Option<Operand> {
    match value {
        Value::Number { size, signed } if matches!(size, 1 | 2 | 4 | 8) => Some(Operand {
            origin: operand::CONTEXT,
            place,
            addend: 0,
            size: *size,
            signed: *signed,
        }),
        Value::Number { .. } | Value::Pointer { .. } | Value::Other => None,
    }
}

fn from_note(argument: &Argument) -> Option<Operand> {
    let (origin, place, addend) = match &argument.place {
        Place::Constant(value) => (operand::CONSTANT, 0, *value),
        Place::Register(name) => (operand::CONTEXT, registers::named(name)?, 0),
        Place::Memory(name, addend) => (operand::MEMORY, registers::named(name)?, *addend),
    };
    Some(Operand {
        origin,
        place,
        addend,
        size: argument.size,
        signed: argument.signed,
    })
}

#[cfg(test)]
mod tests {
    use membench_bpf::Parameter;
    use zerocopy::FromZeros;

    use super::*;

    fn number(size: u32, signed: bool) -> Value {
        Value::Number { size, signed }
    }

    fn parameter(name: &str, value: Value) -> Parameter {
        Parameter {
            name: Some(name.into()),
            value,
        }
    }

    fn signature() -> Signature {
        let structure = Some("sock".to_owned());
        Signature {
            parameters: vec![
                parameter("sk", Value::Pointer { structure }),
                parameter("ret", number(4, true)),
                parameter("flags", number(8, false)),
            ],
            result: number(4, true),
        }
    }

    fn chosen(operands: &Operands, name: &str) -> Option<Settings> {
        let mut settings = Settings::new_zeroed();
        let hook = Spec::Fentry("f".into());
        operands.choose(&hook, name, &mut settings).ok()?;
        Some(settings)
    }

    #[test]
    fn an_argument_is_found_by_its_name_or_its_index() {
        let operands = Operands::Arguments {
            signature: Some(signature()),
            returns: false,
        };
        for name in ["flags", "arg2"] {
            let settings = chosen(&operands, name).unwrap();
            assert_eq!((settings.place, settings.size, settings.signed), (2, 8, 0));
        }
        assert_eq!(chosen(&operands, "arg1:u16").unwrap().size, 2);
        assert!(chosen(&operands, "arg1:x").is_none());
        assert!(chosen(&operands, "arg3").is_none());
    }

    #[test]
    fn a_pointer_is_no_number_and_is_not_offered() {
        let operands = Operands::Arguments {
            signature: Some(signature()),
            returns: false,
        };
        assert!(chosen(&operands, "sk").is_none());
        assert_eq!(operands.known(), ["ret", "flags"]);
    }

    #[test]
    fn the_result_of_a_function_follows_its_arguments() {
        let operands = Operands::Arguments {
            signature: Some(signature()),
            returns: true,
        };
        assert_eq!(chosen(&operands, "ret").unwrap().place, 3);
        let operands = Operands::Registers {
            signature: None,
            returns: true,
        };
        assert_eq!(operands.known(), ["ret"]);
        assert!(chosen(&operands, "arg0").is_none());
    }

    #[test]
    fn ports_are_those_of_the_socket_that_the_hook_passes() {
        let mut settings = Settings::new_zeroed();
        let operands = Operands::Arguments {
            signature: Some(signature()),
            returns: false,
        };
        assert!(operands.choose_socket(&mut settings));
        assert_eq!((settings.socket, settings.socket_place), (socket::SOCK, 0));
        assert!(!Operands::Nothing.choose_socket(&mut settings));
    }
}
