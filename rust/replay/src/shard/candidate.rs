//! An answer whose request is not certain yet → the requests it can belong to, and what it means to them.

use membench_event::Outcome;
use membench_event::answer::{Asked, FormNumber, Forms, is_error, outcome};
use membench_protocol::{Key, Response};

use crate::measure::Arrival;
use crate::shard::outstanding::returned_cas;

/// Key and cas value of an item that a retrieval found.
type Value = (Vec<u8>, Option<u64>);

/// Most items of an answer that are kept; a retrieval that has more is not memcached's.
const VALUES_MAX: usize = 1 << 16;

/// Answer that may belong to several requests.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// Outcome for each form of request that it can answer; for a retrieval with values, that of the keys without one.
    outcomes: Vec<(FormNumber, Outcome)>,
    /// Opaque token that it repeats.
    pub(crate) opaque: Option<Vec<u8>>,
    /// Key that it repeats.
    pub(crate) key: Option<Vec<u8>>,
    /// Items that a retrieval found.
    pub(crate) values: Vec<Value>,
    /// Cas value that it returns.
    pub(crate) cas: Option<u64>,
    /// Time of the read that held its end.
    pub(crate) arrival: Arrival,
}

impl Candidate {
    pub(crate) fn new(forms: &Forms, response: &Response<'_>, arrival: Arrival) -> Self {
        let mut candidate = Self {
            outcomes: forms
                .fitting(response)
                .map(|(form, asked)| (form, outcome(asked.command, response)))
                .collect(),
            opaque: None,
            key: None,
            values: Vec::new(),
            cas: returned_cas(response),
            arrival,
        };
        match response {
            Response::Meta { flags, .. } => {
                let decoded = |word| {
                    let mut scratch = [0; 256];
                    let key = Key::new(word, flags.has(b'b'));
                    key.decode(&mut scratch).to_vec()
                };
                candidate.opaque = flags.token(b'O').map(<[u8]>::to_vec);
                candidate.key = flags.token(b'k').map(decoded);
            }
            Response::Value { key, cas, .. } => candidate.values.push((key.raw().to_vec(), *cas)),
            _ => {}
        }
        candidate
    }

    /// Takes another line of the same answer. Returns true if it was the last one.
    pub(crate) fn continue_with(&mut self, forms: &Forms, response: &Response<'_>) -> bool {
        match response {
            Response::Value { key, cas, .. } if self.values.len() < VALUES_MAX => {
                self.values.push((key.raw().to_vec(), *cas));
            }
            Response::End => self.end_with(forms, response),
            _ if is_error(response) => self.end_with(forms, response),
            _ => {}
        }
        matches!(response, Response::End) || is_error(response)
    }

    fn end_with(&mut self, forms: &Forms, response: &Response<'_>) {
        for (form, known) in &mut self.outcomes {
            if let Some(Asked { command, .. }) = forms.get(*form) {
                *known = outcome(*command, response);
            }
        }
    }

    /// Returns its outcome for a form of request; `None` if it cannot answer one.
    pub(crate) fn outcome(&self, form: Option<FormNumber>) -> Option<Outcome> {
        let found = self.outcomes.iter().find(|(known, _)| Some(*known) == form);
        found.map(|(_, outcome)| *outcome)
    }
}
