//! A pipeline and its answers → what all ways to pair them have in common, by trying every one.

use membench_event::Outcome;
use membench_event::answer::{Asked, fits, outcome};
use membench_protocol::{Dialect, Key, Request, Response, Status, binary, request};

use crate::next_answer;

/// An answer: its lines or its message.
type Given<'a> = Vec<Response<'a>>;

/// Returns the outcomes of the events that every assignment has in common; `None` if there is no assignment.
pub(crate) fn common(
    pipeline: &[u8],
    answers: &[u8],
    dialect: Dialect,
) -> Option<Vec<Option<Outcome>>> {
    let (requests, answers) = (requests(pipeline, dialect), units(answers));
    let mut found: Option<Vec<Vec<Option<Outcome>>>> = None;
    each(&requests, &answers, &mut Vec::new(), &mut |chosen| {
        let all = requests.iter().zip(chosen);
        let all: Vec<Vec<Option<Outcome>>> = all
            .map(|(request, answer)| outcomes(request, *answer))
            .collect();
        match &mut found {
            None => found = Some(all),
            Some(found) => {
                for (found, other) in found.iter_mut().flatten().zip(all.iter().flatten()) {
                    *found = found.filter(|_| *found == *other);
                }
            }
        }
    });
    found.map(|found| found.concat())
}

/// Returns the requests that a memcached of this dialect reads.
pub(crate) fn requests(mut bytes: &[u8], dialect: Dialect) -> Vec<Request<'_>> {
    let mut found = Vec::new();
    while let Some(first) = bytes.first() {
        let parsed = match first {
            0x80 => binary::parse_request(bytes).unwrap(),
            _ => request::parse_as(bytes, dialect).unwrap(),
        };
        let Status::Complete { value, consumed } = parsed else {
            panic!("{}", bytes.escape_ascii());
        };
        let block = usize::try_from(value.block_size()).unwrap();
        bytes = &bytes[consumed + block..];
        found.push(value);
    }
    found
}

fn units(mut bytes: &[u8]) -> Vec<Given<'_>> {
    let (mut found, mut unit) = (Vec::new(), Vec::new());
    while !bytes.is_empty() {
        let (response, length) = next_answer(bytes);
        bytes = &bytes[length..];
        let continues = matches!(response, Response::Value { .. });
        unit.push(response);
        if !continues {
            found.push(std::mem::take(&mut unit));
        }
    }
    found
}

fn each<'u>(
    requests: &[Request<'_>],
    answers: &'u [Given<'u>],
    chosen: &mut Vec<Option<&'u Given<'u>>>,
    take: &mut impl FnMut(&[Option<&'u Given<'u>>]),
) {
    let Some(request) = requests.get(chosen.len()) else {
        if answers.is_empty() {
            take(chosen);
        }
        return;
    };
    let is_answered = request.is_answered();
    if !is_answered || request.quiet() {
        chosen.push(None);
        each(requests, answers, chosen, take);
        chosen.pop();
    }
    if let Some((first, rest)) = answers.split_first()
        && is_answered
        && can_have(request, first)
    {
        chosen.push(Some(first));
        each(requests, rest, chosen, take);
        chosen.pop();
    }
}

fn can_have(request: &Request<'_>, answer: &Given<'_>) -> bool {
    let asked = Asked::new(request);
    let mut keys = request.keys.clone();
    answer.iter().all(|part| {
        fits(&asked, part)
            && match part {
                Response::Value { key, .. } => keys.any(|own| own.raw() == key.raw()),
                Response::Meta { flags, .. } => {
                    let token = flags.token(b'O');
                    let is_key = |word| {
                        let key = decoded(Key::new(word, flags.has(b'b')));
                        request.keys.clone().any(|own| decoded(own) == key)
                    };
                    flags.token(b'k').is_none_or(is_key)
                        && token.is_none_or(|token| request.opaque == Some(token))
                }
                Response::Binary(given) => {
                    let is_key = |key| request.keys.clone().any(|own| own.raw() == key);
                    let key = given.key.filter(|key| !key.is_empty());
                    Some(given.opcode) == request.opcode
                        && request.opaque == Some(&given.opaque.to_be_bytes()[..])
                        && (!given.opcode.returns_key() || key.is_none_or(is_key))
                }
                _ => true,
            }
    })
}

fn decoded(key: Key<'_>) -> Vec<u8> {
    key.decode(&mut [0; 256]).to_vec()
}

/// Outcomes of a request's events with this answer.
fn outcomes(request: &Request<'_>, answer: Option<&Given<'_>>) -> Vec<Option<Outcome>> {
    let count = request.keys.len().max(1);
    let Some((last, values)) = answer.and_then(|parts| parts.split_last()) else {
        return vec![Some(Outcome::Suppressed); count];
    };
    let mut found = Vec::new();
    let mut keys = request.keys.clone();
    for value in values {
        let Response::Value { key, .. } = value else {
            continue;
        };
        for own in keys.by_ref() {
            let is_own = own.raw() == key.raw();
            found.push(Some(if is_own { Outcome::Hit } else { Outcome::Miss }));
            if is_own {
                break;
            }
        }
    }
    found.resize(count, Some(outcome(request.command, last)));
    found
}
