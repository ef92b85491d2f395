//! Datagrams from the kernel → those of each peer, decoded once it is known whose they are.

use std::net::SocketAddr;

use membench_common::{Datagram, Header, kind};
use membench_event::{Direction, Segment};

use super::Session;
use crate::Side;
use crate::session::datagrams::{self, Last, Thread, Waiting};
use crate::session::sockets::Role;

/// Whose datagrams they are.
#[derive(Clone, Copy)]
struct From {
    /// The socket's,
    cookie: u64,
    /// its server,
    server: u32,
    /// and a server's client, if it is known.
    peer: Option<SocketAddr>,
}

impl Session {
    pub(super) fn take_datagram(
        &mut self,
        header: &Header,
        datagram: &Datagram,
        segment: &Segment<'_>,
    ) {
        let cookie = header.cookie;
        let Some(Role::Datagrams(server)) = self.sockets.role(cookie) else {
            self.orphaned += segment.length();
            return;
        };
        let from = From {
            cookie,
            server,
            peer: datagrams::peer(datagram),
        };
        let thread = (cookie, datagram.thread);
        match (segment.direction, header.kind) {
            _ if self.sockets.side() == Side::Client => {
                self.take_of(from, segment);
            }
            (Direction::Request, kind::DATAGRAM_REQUEST_NAMED) => {
                self.take_named(thread, from, segment);
            }
            (Direction::Request, _) => {
                if let Some(last) = self.threads.take(thread) {
                    self.finish(from, last);
                }
                let waiting = Last::Waiting(Waiting::new(segment));
                self.threads.note(thread, waiting);
            }
            (Direction::Response, _) => {
                if let Some(waiting) = self.threads.take_waiting(thread) {
                    let (connection, id) = self.deliver(from, &waiting);
                    let read = id.map(|id| (connection, id));
                    let known = Last::Known(waiting.time(), read.into_iter().collect());
                    self.threads.note(thread, known);
                }
                self.take_of(from, segment);
            }
        }
    }

    /// A request whose own peer is named. Those of one call have one time; what was read before is answered by now.
    fn take_named(&mut self, thread: Thread, from: From, segment: &Segment<'_>) {
        let mut read = match self.threads.take(thread) {
            Some(Last::Known(time, read)) if time == segment.time => read,
            Some(last) => {
                self.finish(from, last);
                Vec::new()
            }
            None => Vec::new(),
        };
        let (connection, id) = self.take_of(from, segment);
        read.extend(id.map(|id| (connection, id)));
        self.threads.note(thread, Last::Known(segment.time, read));
    }

    /// Its thread reads again: all that it answers to what it read before was sent.
    fn finish(&mut self, from: From, last: Last) {
        let read = match last {
            Last::Waiting(waiting) => {
                let (connection, id) = self.deliver(from, &waiting);
                id.map(|id| (connection, id)).into_iter().collect()
            }
            Last::Known(_, read) => read,
        };
        for (connection, id) in read {
            self.decoder.finish_datagram(connection, id);
        }
    }

    /// Decodes a datagram; returns its connection, and a request's id.
    fn take_of(&mut self, from: From, segment: &Segment<'_>) -> (u32, Option<u16>) {
        let connection = self.datagrams_of(from, segment.time);
        let segment = Segment {
            connection,
            ..*segment
        };
        (connection, self.push_datagram(&segment))
    }

    /// Decodes a request whose peer is told now.
    fn deliver(&mut self, from: From, waiting: &Waiting) -> (u32, Option<u16>) {
        let connection = self.datagrams_of(from, waiting.time());
        let id = waiting.with(connection, |segment| self.push_datagram(segment));
        (connection, id)
    }

    fn push_datagram(&mut self, segment: &Segment<'_>) -> Option<u16> {
        let role = Role::Connection(segment.connection);
        self.sockets
            .count(role, segment.direction, segment.length());
        self.decoder.push_datagram(segment)
    }

    fn datagrams_of(&mut self, from: From, time: u64) -> u32 {
        let From {
            cookie,
            server,
            peer,
        } = from;
        let (connection, is_new) = self.sockets.of_datagram(cookie, server, peer, time);
        if is_new {
            self.decoder.open_datagrams(connection, server);
        }
        connection
    }

    /// Requests whose peer was never told.
    pub(super) fn deliver_rest(&mut self) {
        for ((cookie, _), waiting) in self.threads.rest() {
            if let Some(Role::Datagrams(server)) = self.sockets.role(cookie) {
                let from = From {
                    cookie,
                    server,
                    peer: None,
                };
                self.deliver(from, &waiting);
            }
        }
    }
}
