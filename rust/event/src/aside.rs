//! Replies that fit several quiet requests → the requests they answer, as far as that can be known.
//!
//! Such replies are set aside until a later reply passes the requests: then no more can come. Decoding and replay share
//! this rule, so they leave the same outcomes open.

use std::collections::{HashMap, VecDeque};

/// The opaque token of a request, which its reply repeats; `None` if it has none.
pub type Token = Option<u64>;

/// The reply to a quiet request that a later reply has passed.
#[derive(Clone, Copy, Debug)]
pub enum Answered<R> {
    /// The request got no reply.
    No,
    /// The request got this reply.
    Yes(R),
    /// Requests with its token got replies, but not one each, so it is not known which did.
    Unknown,
}

/// The requests and replies with one token.
#[derive(Debug)]
struct Group<R> {
    requests: usize,
    /// Replies in the order received.
    replies: VecDeque<R>,
    /// True if each request got a reply.
    complete: bool,
}

/// Quiet requests that a later reply has passed, by token.
#[derive(Debug)]
pub struct Passed<R>(HashMap<Token, Group<R>>);

impl<R> Default for Group<R> {
    fn default() -> Self {
        Self {
            requests: 0,
            replies: VecDeque::new(),
            complete: false,
        }
    }
}

impl<R> Passed<R> {
    /// Groups the passed requests and the replies set aside. memcached answers in order, so each of these replies
    /// belongs to one of these requests.
    pub fn new(requests: &[Token], replies: Vec<(Token, R)>) -> Self {
        let mut groups: HashMap<Token, Group<R>> = HashMap::new();
        for (token, reply) in replies {
            groups.entry(token).or_default().replies.push_back(reply);
        }
        for token in requests {
            if let Some(group) = groups.get_mut(token) {
                group.requests += 1;
            }
        }
        for group in groups.values_mut() {
            group.complete = group.requests == group.replies.len();
        }
        Self(groups)
    }

    /// Returns the reply to the next request with this token. It is known only if all requests with the token were
    /// answered, or none.
    pub fn next(&mut self, token: Token) -> Answered<R> {
        match self.0.get_mut(&token) {
            None => Answered::No,
            Some(group) if group.complete => group
                .replies
                .pop_front()
                .map_or(Answered::Unknown, Answered::Yes),
            Some(_) => Answered::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_assigned_only_if_there_is_one_for_each_request_with_their_token() {
        // Requests with a token, replies with that token, and the expected answer to each of the requests.
        let table: &[(usize, usize, &str)] = &[
            (2, 0, "no"),
            (2, 1, "unknown"),
            (2, 2, "yes"),
            (1, 2, "unknown"),
        ];
        for (requests, replies, expected) in table {
            let tokens = [vec![Some(1); *requests], vec![None; 2]].concat();
            let replies = vec![(Some(1), ()); *replies];
            let mut passed = Passed::new(&tokens, replies);
            for token in tokens {
                let found = match passed.next(token) {
                    Answered::No => "no",
                    Answered::Yes(()) => "yes",
                    Answered::Unknown => "unknown",
                };
                assert_eq!(found, if token.is_some() { *expected } else { "no" });
            }
        }
    }
}
