//! Replies that fit several quiet requests → which of these were answered, once a later reply passes them. Decoding and
//! replay leave the same outcomes open by it.

use std::collections::{HashMap, VecDeque};

/// What a request's reply repeats: the opaque token, or none.
pub type Token = Option<u64>;

/// What is known of a quiet request that was passed.
#[derive(Clone, Copy, Debug)]
pub enum Answered<R> {
    /// It got none.
    No,
    /// It got this reply.
    So(R),
    /// Some requests with its token did.
    Unknown,
}

/// The requests and replies with one token, both in their order.
#[derive(Debug)]
struct Group<R> {
    requests: usize,
    replies: VecDeque<R>,
    complete: bool,
}

/// Requests that were passed, by token.
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
    /// memcached answers in order, so the replies set aside are those of the requests that were passed.
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

    /// The next request with this token: all with it were answered, or none, or it is not known which.
    pub fn next(&mut self, token: Token) -> Answered<R> {
        match self.0.get_mut(&token) {
            None => Answered::No,
            Some(group) if group.complete => group
                .replies
                .pop_front()
                .map_or(Answered::Unknown, Answered::So),
            Some(_) => Answered::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests of each of two tokens, how many replies, and what is known of each request.
    #[test]
    fn replies_belong_to_all_requests_with_their_token_or_to_nobody_known() {
        let table: &[(usize, usize, &str)] = &[
            (2, 0, "no"),
            (2, 1, "unknown"),
            (2, 2, "so"),
            (1, 2, "unknown"),
        ];
        for (requests, replies, expected) in table {
            let tokens = [vec![Some(1); *requests], vec![None; 2]].concat();
            let replies = vec![(Some(1), ()); *replies];
            let mut passed = Passed::new(&tokens, replies);
            for token in tokens {
                let found = match passed.next(token) {
                    Answered::No => "no",
                    Answered::So(()) => "so",
                    Answered::Unknown => "unknown",
                };
                assert_eq!(found, if token.is_some() { *expected } else { "no" });
            }
        }
    }
}
