//! An event and its outcome → its effect on the item of its key.

use membench_event::{Command, Event, Lookup, Options, OptionsTable, Outcome};

/// Effect of an event on the item of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Read the item; `found` is `None` if the response was not seen.
    Read { found: Option<bool> },
    /// Stored the item.
    Store,
    /// Stored the item if it was absent (`true`) or present (`false`); the response was not seen.
    StoreIf { absent: bool },
    /// Extended the item's value.
    Grow,
    /// Changed the item's expiry, or its number in place.
    Touch,
    /// Removed the item, or found none.
    Remove,
    /// Removed all items.
    Flush,
    /// No known effect.
    Nothing,
}

/// Mode of a store: the `M` flag of a meta set, or the equivalent command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Set,
    Add,
    Replace,
    Grow,
}

/// Derives the effects of events. Parses each options string once.
pub(super) struct Effects {
    modes: Vec<Mode>,
}

impl Effects {
    pub(super) fn new(options: &OptionsTable) -> Self {
        let modes = options.names().iter().map(|name| mode(name)).collect();
        Self { modes }
    }

    pub(super) fn effect(&self, event: &Event) -> Effect {
        use Command as C;
        match event.command {
            C::Get | C::Gets | C::Gat | C::Gats | C::MetaGet => read(event),
            C::Set => store(event, Mode::Set),
            C::MetaSet => store(event, self.mode(event.options)),
            C::Add => store(event, Mode::Add),
            C::Replace | C::Cas => store(event, Mode::Replace),
            C::Append | C::Prepend => store(event, Mode::Grow),
            C::Delete | C::MetaDelete => remove(event),
            C::Incr | C::Decr | C::MetaArithmetic | C::Touch => touch(event),
            C::FlushAll => Effect::Flush,
            C::MetaNoop
            | C::MetaDebug
            | C::Stats
            | C::Version
            | C::Verbosity
            | C::Quit
            | C::Other => Effect::Nothing,
        }
    }

    fn mode(&self, options: Options) -> Mode {
        self.modes
            .get(usize::from(options.0))
            .copied()
            .unwrap_or_default()
    }
}

fn mode(options: &str) -> Mode {
    let flag = options.split(' ').find_map(|flag| flag.strip_prefix('M'));
    match flag.map(str::to_ascii_uppercase).as_deref() {
        Some("E" | "ADD") => Mode::Add,
        Some("R" | "REPLACE") => Mode::Replace,
        Some("A" | "APPEND" | "P" | "PREPEND") => Mode::Grow,
        _ => Mode::Set,
    }
}

fn read(event: &Event) -> Effect {
    event
        .lookup()
        .map_or(Effect::Nothing, |lookup| Effect::Read {
            found: match lookup {
                Lookup::Hit => Some(true),
                Lookup::Miss => Some(false),
                Lookup::Unseen => None,
            },
        })
}

fn store(event: &Event, mode: Mode) -> Effect {
    match (event.outcome, mode) {
        (None | Some(Outcome::Stored | Outcome::Suppressed), Mode::Grow) => Effect::Grow,
        (Some(Outcome::Stored), _) | (None | Some(Outcome::Suppressed), Mode::Set) => Effect::Store,
        (None | Some(Outcome::Suppressed), Mode::Add) => Effect::StoreIf { absent: true },
        (None | Some(Outcome::Suppressed), Mode::Replace) => Effect::StoreIf { absent: false },
        // A set that memcached could not store removes what was there.
        (Some(Outcome::ServerError), Mode::Set) | (Some(Outcome::NotFound), _) => Effect::Remove,
        _ => Effect::Nothing,
    }
}

fn remove(event: &Event) -> Effect {
    match event.outcome {
        Some(Outcome::Exists | Outcome::ClientError | Outcome::ServerError) => Effect::Nothing,
        _ => Effect::Remove,
    }
}

fn touch(event: &Event) -> Effect {
    match event.outcome {
        Some(Outcome::NotFound | Outcome::Miss) => Effect::Remove,
        Some(
            Outcome::ClientError | Outcome::ServerError | Outcome::Exists | Outcome::NotStored,
        ) => Effect::Nothing,
        _ => Effect::Touch,
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::event;
    use super::*;

    #[test]
    fn effects_follow_command_mode_and_outcome() {
        let mut options = OptionsTable::default();
        let append = options.intern("s v MA").unwrap();
        let effects = Effects::new(&options);
        let cases = [
            (
                Command::Get,
                Some(Outcome::Hit),
                0,
                Effect::Read { found: Some(true) },
            ),
            (Command::Get, None, 0, Effect::Read { found: None }),
            (
                Command::MetaGet,
                Some(Outcome::Suppressed),
                0,
                Effect::Read { found: Some(false) },
            ),
            (
                Command::MetaSet,
                Some(Outcome::Stored),
                append.0,
                Effect::Grow,
            ),
            (Command::MetaSet, Some(Outcome::Stored), 0, Effect::Store),
            (Command::Set, Some(Outcome::Suppressed), 0, Effect::Store),
            (Command::Set, Some(Outcome::ServerError), 0, Effect::Remove),
            (Command::Add, Some(Outcome::NotStored), 0, Effect::Nothing),
            (Command::Add, None, 0, Effect::StoreIf { absent: true }),
            (Command::Cas, Some(Outcome::Exists), 0, Effect::Nothing),
            (Command::Delete, Some(Outcome::NotFound), 0, Effect::Remove),
            (Command::Incr, Some(Outcome::Stored), 0, Effect::Touch),
            (Command::Stats, Some(Outcome::Ok), 0, Effect::Nothing),
        ];
        for (command, outcome, options, expected) in cases {
            let event = Event {
                command,
                outcome,
                options: Options(options),
                ..event()
            };
            assert_eq!(effects.effect(&event), expected, "{command:?} {outcome:?}");
        }
    }
}
